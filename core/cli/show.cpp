#include "command_line.h"
#include "rows.h"
#include "store/store.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>

namespace peftlab::cli {
namespace {

using report::Format;
using store::Rows;

struct Section {
  const char* name;
  Rows rows;
};

Rows score_rows(const store::RunDetail& run) {
  Rows rows{{"split", "metric", "value", "n_items", "higher_is_better"}, {}};
  for (const store::Score& score : run.scores) {
    rows.rows.push_back(
        {score.split, score.metric, score.value, cell_of(score.n_items), int64_t{score.higher_is_better}});
  }
  return rows;
}

Rows cost_rows(const store::RunDetail& run) {
  Rows rows{{"segment", "phase", "wall_ms", "cpu_ms", "peak_rss_bytes", "peak_device_bytes"}, {}};
  for (const auto& [segment, cost] : run.costs) {
    rows.rows.push_back({segment, cost.phase, cell_of(cost.wall_ms), cell_of(cost.cpu_ms), cell_of(cost.peak_rss_bytes),
                         cell_of(cost.peak_device_bytes)});
  }
  return rows;
}

Rows base_rows(const store::RunDetail& run) {
  Rows rows{{"name", "arch", "n_params", "dtype", "sha256"}, {}};
  if (const auto& base = run.base_model) {
    rows.rows.push_back({base->name, base->arch, base->n_params, base->dtype, base->sha256});
  }
  return rows;
}

std::vector<Section> sections_of(const store::RunDetail& run) {
  Rows datasets{{"split", "plugin", "rows", "sha256", "path"}, {}};
  for (const store::Dataset& data : run.datasets) {
    datasets.rows.push_back({data.split, data.name, data.n_rows, data.sha256, data.path});
  }
  Rows plugins{{"kind", "name", "sha256", "file"}, {}};
  for (const store::Plugin& plugin : run.plugins) {
    plugins.rows.push_back({plugin.kind, plugin.name, plugin.sha256, plugin.file});
  }
  Rows artifacts{{"name", "kind", "size_bytes", "sha256"}, {}};
  for (const store::Artifact& artifact : run.artifacts) {
    artifacts.rows.push_back({artifact.name, artifact.kind, artifact.size_bytes, artifact.sha256});
  }
  Rows events{{"at_ms", "kind", "detail"}, {}};
  for (const store::Event& event : run.events) events.rows.push_back({event.at_ms, event.kind, event.detail_json});
  Rows series{{"metric"}, {}};
  for (const std::string& name : run.series) series.rows.push_back({name});
  return {{"scores", score_rows(run)}, {"costs", cost_rows(run)}, {"base_model", base_rows(run)},
          {"datasets", datasets},      {"plugins", plugins},      {"artifacts", artifacts},
          {"events", events},          {"series", series}};
}

std::string as_json(const store::RunDetail& run) {
  std::string facts = report::render_table(run_rows({run.run}), Format::json);
  facts = facts.substr(2, facts.rfind('}') - 1);  // the one object of the list
  std::string out = fmt::format("{{\"run\": {},\n\"config\": {},\n\"environment\": {}", facts, to_json(run.config),
                                to_json(run.environment));
  for (const auto& [name, rows] : sections_of(run)) {
    std::string list = report::render_table(rows, Format::json);
    list.pop_back();  // its line break
    out += fmt::format(",\n\"{}\": {}", name, list);
  }
  return out + "}\n";
}

/// The leaves of nested tables as dotted names.
void flatten(const Value& value, const std::string& path, Rows& rows) {
  if (const Table* table = value.get_if<Table>(); table && !table->empty()) {
    for (const auto& [key, entry] : *table) flatten(entry, path.empty() ? key : path + "." + key, rows);
    return;
  }
  rows.rows.push_back({path, to_json(value)});
}

void print_for_eyes(const store::RunDetail& run) {
  print_facts(facts_of(run_rows({run.run})), Format::table);
  Rows config{{"name", "value"}, {}}, environment = config;
  flatten(run.config, "", config);
  flatten(run.environment, "", environment);
  std::vector<Section> sections = sections_of(run);
  sections.insert(sections.begin(), {"config", config});
  sections.push_back({"environment", environment});
  for (const auto& [name, rows] : sections) {
    if (!rows.rows.empty()) print(fmt::format("\n{}\n{}", name, report::render_table(rows, Format::table)));
  }
}

Rows series_rows(const store::Store& store, const store::RunDetail& run, const std::string& metric) {
  Rows rows{{"metric", "step", "value"}, {}};
  for (const auto& point : store.series(run.run.uuid, metric)) {
    rows.rows.push_back({point.metric, point.step, point.value});
  }
  if (rows.rows.empty()) {
    throw ConfigError(
        fmt::format("run {} has no series \"{}\". {}", run.run.uuid, metric, suggestion(metric, run.series)));
  }
  return rows;
}

}  // namespace

int show_command(const Words& words) {
  std::filesystem::path folder;
  std::string prefix, metric;
  Format format = Format::table;
  CommandLine line("show RUN", "Shows all that is known of one run. RUN is its uuid or the beginning of it.",
                   "peftlab show 0194f3\npeftlab show 0194f3 --series train/loss --format csv");
  line.operand("RUN", &prefix)
      .plain_option("series", &metric, "NAME", "only the points of this curve, such as train/loss")
      .store_option(&folder)
      .format_option(&format);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  const store::RunDetail run = store.run(prefix);
  if (line.given("series")) {
    print(report::render_table(series_rows(store, run, metric), format));
  } else if (format == Format::table) {
    print_for_eyes(run);
  } else if (format == Format::json) {
    print(as_json(run));
  } else {
    throw ConfigError("a whole run is written as table or json; csv and md are there with --series");
  }
  return 0;
}

}  // namespace peftlab::cli
