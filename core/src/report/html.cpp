#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace peftlab::report {
namespace {

using store::RunDetail;

constexpr const char* kStyle = R"css(
body { font: 15px/1.45 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #1a1a1a; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #ddd; text-align: left; white-space: nowrap; }
th { border-bottom: 2px solid #888; } .right { text-align: right; }
code { font-size: .8rem; } pre { white-space: pre-wrap; font-size: .8rem; }
svg { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
svg .title { font-size: 14px; font-weight: 600; } svg .grid { stroke: #e4e4e4; } svg .axis { stroke: #444; }
svg .interval { stroke: #222; stroke-width: 1.5; }
.better { color: #00664a; font-weight: 600; } .worse { color: #a03c00; font-weight: 600; }
)css";

std::string open_table(const std::vector<std::string>& columns, const std::vector<bool>& right) {
  std::string out = "<div class=\"scroll\"><table>\n<tr>";
  for (size_t c = 0; c < columns.size(); ++c) {
    out += fmt::format("<th{}>{}</th>", right[c] ? " class=\"right\"" : "", escape_html(columns[c]));
  }
  return out + "</tr>\n";
}

std::string html_table(const std::vector<std::string>& columns, const std::vector<std::vector<std::string>>& rows,
                       const std::vector<bool>& right) {
  std::string out = open_table(columns, right);
  for (const std::vector<std::string>& row : rows) {
    out += "<tr>";
    for (size_t c = 0; c < columns.size(); ++c) {
      std::string kind = right[c] ? "right" : "";
      if (row[c] == "better" || row[c] == "worse") kind = row[c];
      out += kind.empty() ? "<td>" : fmt::format("<td class=\"{}\">", kind);
      out += escape_html(row[c]) + "</td>";
    }
    out += "</tr>\n";
  }
  return out + "</table></div>\n";
}

std::string charts(const Page& page) {
  const Comparison& comparison = page.comparison;
  std::string out =
      curve_chart("Training loss: mean over seeds, band from least to greatest", "optimizer step", page.curves);
  std::vector<Mark> marks;
  for (const MetricInfo& metric : comparison.metrics) {
    std::vector<Bar> bars;
    for (size_t i = 0; i < comparison.methods.size(); ++i) {
      const MethodResult& method = comparison.methods[i];
      const auto found = method.metrics.find(metric.name);
      if (found == method.metrics.end()) continue;
      const store::CompareRow& test = found->second.test;
      bars.push_back({method.label, test.mean, test.ci95_low, test.ci95_high, i});
      const bool trained = method.trainable_parameters && *method.trainable_parameters > 0;
      if (metric.name != comparison.primary || !trained) continue;
      marks.push_back({method.label, static_cast<double>(*method.trainable_parameters), test.mean, test.ci95_low,
                       test.ci95_high, i});
    }
    out += bar_chart(fmt::format("{} on test ({} is better), with 95 % intervals", metric.name,
                                 metric.higher_is_better ? "higher" : "lower"),
                     bars);
  }
  return out + scatter_chart(fmt::format("{} against trained parameters", comparison.primary), "trainable parameters",
                             comparison.primary, marks);
}

std::string runs_table(const Page& page) {
  std::vector<std::vector<std::string>> rows;
  for (const RunDetail& detail : page.runs) {
    const store::RunRow& run = detail.run;
    rows.push_back({run.label, std::to_string(run.seed), std::to_string(run.attempt), run.state, run.uuid,
                    run.adapter_sha256.value_or("-"), run.base_sha256.value_or("-"),
                    detail.environment_sha256.value_or("-"), run.train_seconds ? seconds_text(*run.train_seconds) : "-",
                    run.peak_memory_bytes ? bytes_text(*run.peak_memory_bytes) : "-"});
  }
  return html_table({"method", "seed", "attempt", "state", "run", "adapter sha256", "base sha256", "environment",
                     "training", "memory"},
                    rows, {false, true, true, false, false, false, false, false, true, true});
}

std::string failures(const Page& page) {
  std::string out;
  for (const RunDetail& detail : page.runs) {
    if (detail.run.state != "failed") continue;
    out += fmt::format("<p>{}, seed {}, attempt {}: <strong>{}</strong></p>\n<pre>{}</pre>\n",
                       escape_html(detail.run.label), detail.run.seed, detail.run.attempt,
                       escape_html(detail.run.error_kind), escape_html(detail.run.error_text));
  }
  return out.empty() ? out : "<h2>Failed runs</h2>\n" + out;
}

std::string provenance(const Page& page) {
  std::map<std::vector<std::string>, int> plugins, datasets;
  std::map<std::string, Table> environments;
  for (const RunDetail& detail : page.runs) {
    for (const store::Plugin& p : detail.plugins) {
      ++plugins[{p.name, p.kind, p.sha256, std::to_string(p.abi), p.torch_version}];
    }
    for (const store::Dataset& d : detail.datasets) {
      ++datasets[{d.name, d.split, d.sha256, std::to_string(d.n_rows), d.path}];
    }
    if (detail.environment_sha256) environments[*detail.environment_sha256] = detail.environment;
  }
  const auto keys = [](const std::map<std::vector<std::string>, int>& counted) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [row, count] : counted) rows.push_back(row);
    return rows;
  };
  std::string out = "<h2>Plugins</h2>\n" + html_table({"name", "kind", "sha256", "ABI", "LibTorch"}, keys(plugins),
                                                      {false, false, false, true, false});
  out += "<h2>Data</h2>\n" +
         html_table({"name", "split", "sha256", "rows", "path"}, keys(datasets), {false, false, false, true, false});
  out += "<h2>Environments</h2>\n";
  for (const auto& [sha256, facts] : environments) {
    std::vector<std::vector<std::string>> rows;
    for (const auto& [name, fact] : facts) {
      const std::string* plain = fact.get_if<std::string>();
      rows.push_back({name, plain ? *plain : to_json(fact)});
    }
    out += fmt::format("<p><code>{}</code></p>\n", escape_html(sha256)) +
           html_table({"fact", "value"}, rows, {false, false});
  }
  return out;
}

}  // namespace

Curve curve_of(const std::string& label, const std::vector<std::vector<store::MetricPoint>>& runs, int n_buckets) {
  Curve curve{label, {}, {}, {}, {}, 0};
  int64_t first = 0, last = -1;
  for (const std::vector<store::MetricPoint>& run : runs) {
    for (const store::MetricPoint& point : run) {
      first = last < 0 ? point.step : std::min(first, point.step);
      last = std::max(last, point.step);
    }
  }
  if (last < 0) return curve;
  const int64_t width = std::max<int64_t>(1, (last - first + n_buckets) / n_buckets);

  struct Sums {
    double x = 0, value = 0;
    int64_t n = 0;
  };
  std::map<int64_t, std::vector<Sums>> buckets;
  for (const std::vector<store::MetricPoint>& run : runs) {
    std::map<int64_t, Sums> mine;
    for (const store::MetricPoint& point : run) {
      if (!std::isfinite(point.value)) continue;
      Sums& sums = mine[(point.step - first) / width];
      sums.x += static_cast<double>(point.step);
      sums.value += point.value;
      ++sums.n;
    }
    for (const auto& [bucket, sums] : mine) buckets[bucket].push_back(sums);
  }
  for (const auto& [bucket, members] : buckets) {
    double x = 0, mean = 0, low = members.front().value / static_cast<double>(members.front().n), high = low;
    for (const Sums& sums : members) {
      const double value = sums.value / static_cast<double>(sums.n);
      x += sums.x / static_cast<double>(sums.n);
      mean += value;
      low = std::min(low, value);
      high = std::max(high, value);
    }
    const auto n = static_cast<double>(members.size());
    curve.x.push_back(x / n);
    curve.mean.push_back(mean / n);
    curve.low.push_back(low);
    curve.high.push_back(high);
  }
  return curve;
}

Page page(const store::Store& store, const std::string& experiment) {
  Page page;
  page.comparison = comparison(store, experiment);
  page.store_uuid = store.uuid();
  std::map<std::string, std::vector<std::vector<store::MetricPoint>>> losses;
  for (const store::RunRow& run : store.runs(page.comparison.experiment)) {
    if (!run.is_compared()) continue;
    page.runs.push_back(store.run(run.uuid));
    if (run.is_newest && run.state == "finished") losses[run.label].push_back(store.series(run.uuid, "train/loss"));
  }
  const std::vector<MethodResult>& methods = page.comparison.methods;
  for (size_t i = 0; i < methods.size(); ++i) {
    Curve curve = curve_of(methods[i].label, losses[methods[i].label]);
    curve.colour = i;
    if (!curve.x.empty()) page.curves.push_back(std::move(curve));
  }
  return page;
}

std::string render_html(const Page& page) {
  const DisplayTable table = display_table(page.comparison);
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>{0}</title>\n<style>{1}</style>\n</head>\n"
      "<body>\n"
      "<h1>{0}</h1>\n<p>{2}</p>\n",
      escape_html(page.comparison.experiment), kStyle, escape_html(table.title));
  out += html_table(table.columns, table.rows, table.right);
  for (const std::string& note : table.notes) out += fmt::format("<p>{}</p>\n", escape_html(note));
  out += "<h2>Charts</h2>\n" + charts(page);
  out += failures(page);
  out += "<h2>Runs</h2>\n" + runs_table(page) + provenance(page);
  out += fmt::format(
      "<h2>How to read this</h2>\n<p>Intervals are Student's t over seeds, 95 %. A verdict compares a method with the "
      "baseline on the same seeds: it is &quot;no clear difference&quot; where p, of the paired t-test and after "
      "Holm's correction over the methods, is not below 0.05, and is withheld below two seeds. Times are of training "
      "alone, memory is its peak in the run's own process. Store <code>{}</code>, schema {}.</p>\n</body>\n</html>\n",
      escape_html(page.store_uuid), store::kSchemaVersion);
  return out;
}

}  // namespace peftlab::report
