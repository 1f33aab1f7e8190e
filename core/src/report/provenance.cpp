// What the numbers were made from: runs, failures, plugins, data, environments.

#include "report/html.h"
#include "report/markup.h"

#include <fmt/format.h>

#include <map>

namespace peftlab::report {
namespace {

std::string runs_table(const Page& page) {
  HtmlTable table{fmt::format("{} runs", page.runs.size()),
                  {"method", "seed", "attempt", "state", "run", "training", "memory", "adapter sha256", "base sha256",
                   "environment"},
                  {false, true, true, false, false, true, true, false, false, false},
                  {},
                  true,
                  "runs-table"};
  for (const store::RunDetail& detail : page.runs) {
    const store::RunRow& run = detail.run;
    const auto memory = run.peak_memory_bytes;
    table.rows.push_back(
        {{run.label, {}},
         {std::to_string(run.seed), static_cast<double>(run.seed)},
         {std::to_string(run.attempt), static_cast<double>(run.attempt)},
         {run.state, {}},
         {run.uuid, {}},
         {run.train_seconds ? seconds_text(*run.train_seconds) : "-", run.train_seconds},
         {memory ? bytes_text(*memory) : "-", memory ? std::optional(static_cast<double>(*memory)) : std::nullopt},
         {run.adapter_sha256.value_or("-"), {}},
         {run.base_sha256.value_or("-"), {}},
         {detail.environment_sha256.value_or("-"), {}}});
  }
  return "<h2 id=\"runs\">Runs</h2>\n" + html_table(table);
}

std::string failures(const Page& page) {
  std::string out;
  for (const store::RunDetail& detail : page.runs) {
    if (detail.run.state != "failed") continue;
    out += fmt::format("<p>{}, seed {}, attempt {}: <strong>{}</strong></p>\n<pre>{}</pre>\n", shown(detail.run.label),
                       detail.run.seed, detail.run.attempt, shown(detail.run.error_kind),
                       shown(detail.run.error_text, 4000));
  }
  return out.empty() ? out : "<h2 id=\"failed\">Failed runs</h2>\n" + out;
}

using Facts = std::map<std::vector<std::string>, int64_t>;

std::string facts_table(const std::string& caption, std::vector<std::string> columns, const Facts& facts) {
  columns.push_back("runs");
  HtmlTable table{caption, columns, std::vector<bool>(columns.size(), false), {}};
  table.right.back() = true;
  for (const auto& [row, count] : facts) {
    std::vector<HtmlCell> cells;
    for (const std::string& cell : row) cells.push_back({cell, {}});
    cells.push_back({std::to_string(count), static_cast<double>(count)});
    table.rows.push_back(std::move(cells));
  }
  return html_table(table);
}

}  // namespace

std::string render_provenance(const Page& page) {
  Facts bases, plugins, datasets;
  std::map<std::string, Table> environments;
  for (const store::RunDetail& detail : page.runs) {
    if (detail.base_model) {
      const store::BaseModel& base = *detail.base_model;
      ++bases[{base.name, base.arch, base.dtype, count_text(base.n_params), base.sha256}];
    }
    for (const store::Plugin& p : detail.plugins) {
      ++plugins[{p.name, p.kind, std::to_string(p.abi), p.torch_version, p.sha256}];
    }
    for (const store::Dataset& d : detail.datasets) {
      ++datasets[{d.name, d.split, std::to_string(d.n_rows), d.path, d.sha256}];
    }
    if (detail.environment_sha256) environments[*detail.environment_sha256] = detail.environment;
  }
  std::string out = failures(page) + runs_table(page) + "<h2 id=\"provenance\">Provenance</h2>\n";
  out += facts_table("Base models", {"name", "architecture", "type", "parameters", "sha256"}, bases);
  out += facts_table("Data", {"name", "split", "rows", "path", "sha256"}, datasets);
  out += facts_table("Plugins", {"name", "kind", "ABI", "LibTorch", "sha256"}, plugins);
  for (const auto& [sha256, facts] : environments) {
    HtmlTable table{"Environment " + sha256, {"fact", "value"}, {false, false}, {}};
    for (const auto& [name, fact] : facts) {
      const std::string* plain = fact.get_if<std::string>();
      table.rows.push_back({{name, {}}, {plain ? *plain : to_json(fact), {}}});
    }
    out += html_table(table);
  }
  return out;
}

}  // namespace peftlab::report
