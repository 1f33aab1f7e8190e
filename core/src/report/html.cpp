#include "report/html.h"

#include "report/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace peftlab::report {
namespace {

constexpr const char* kStyle =
#include "report/page_css.inc"
    ;
constexpr const char* kScript =
#include "report/page_js.inc"
    ;

/// "Of 12 methods beside full, 1 is better, ...".
std::string verdict(const Comparison& comparison) {
  if (comparison.metrics.empty() || comparison.metrics.front().name != comparison.primary) {
    return fmt::format("No run has {} on test yet.", comparison.primary);
  }
  const MethodResult& best = comparison.methods.front();
  std::string out = fmt::format("The best mean {} is that of {}: {:.4g}.", comparison.primary, best.label,
                                best.metrics.at(comparison.primary).test.mean);
  if (comparison.baseline.empty()) return out;
  std::map<std::string, int> counts;
  int n = 0;
  for (const MethodResult& method : comparison.methods) {
    const auto found = method.metrics.find(comparison.primary);
    if (found == method.metrics.end() || !found->second.against) continue;
    ++counts[found->second.verdict];
    ++n;
  }
  if (n == 0) return out;
  return out + fmt::format(
                   " Compared with {}, of {} other {}: {} better, {} worse, {} with no clear difference{}.",
                   comparison.baseline, n, n == 1 ? "method" : "methods", counts["better"], counts["worse"],
                   counts["no clear difference"],
                   counts["too few seeds"] > 0 ? fmt::format(", {} with too few seeds", counts["too few seeds"]) : "");
}

template <typename T>
std::optional<double> real(const std::optional<T>& value) {
  return value ? std::optional(static_cast<double>(*value)) : std::nullopt;
}

/// The number behind a cell of the verdict table, by the name of its column.
std::optional<double> number_behind(const Comparison& comparison, const MethodResult& method,
                                    const std::string& column) {
  if (column == "seeds") return static_cast<double>(method.n_finished);
  if (column == "trainable") return real(method.trainable_parameters);
  if (column == "training") return method.train_seconds;
  if (column == "memory") return real(method.peak_memory_bytes);
  for (const auto& [name, after] : method.retention) {
    if (column == "retention " + name) return after;
  }
  const auto primary = method.metrics.find(comparison.primary);
  if (primary != method.metrics.end()) {
    if (column == "p") return primary->second.p_holm;
    if (column == "difference")
      return primary->second.against ? primary->second.against->mean_difference : std::nullopt;
  }
  const auto found = method.metrics.find(column);
  return found == method.metrics.end() ? std::nullopt : std::optional(found->second.test.mean);
}

/// The columns of the display table that `wanted` chooses, after the first.
std::string part_of_table(const Comparison& comparison, const DisplayTable& display, const std::string& caption,
                          bool (*wanted)(const Comparison&, const std::string&)) {
  HtmlTable table{caption, {}, {}, std::vector<std::vector<HtmlCell>>(display.rows.size())};
  for (size_t c = 0; c < display.columns.size(); ++c) {
    if (c > 0 && !wanted(comparison, display.columns[c])) continue;
    table.columns.push_back(display.columns[c]);
    table.right.push_back(display.right[c]);
    for (size_t i = 0; i < display.rows.size(); ++i) {
      table.rows[i].push_back(
          {display.rows[i][c], number_behind(comparison, comparison.methods[i], display.columns[c])});
    }
  }
  return table.columns.size() < 2 ? "" : html_table(table);
}

bool is_side_column(const Comparison& comparison, const std::string& column) {
  const auto is = [&](const MetricInfo& metric) { return metric.name == column && column != comparison.primary; };
  return column.starts_with("retention ") || std::any_of(comparison.metrics.begin(), comparison.metrics.end(), is);
}

bool is_main_column(const Comparison& comparison, const std::string& column) {
  return !is_side_column(comparison, column);
}

std::string verdict_table(const Comparison& comparison) {
  const DisplayTable display = display_table(comparison);
  std::string out = part_of_table(comparison, display, display.title, is_main_column);
  for (const std::string& note : display.notes) out += fmt::format("<p class=\"note\">{}</p>\n", shown(note, 1000));
  return out;
}

std::string other_metrics(const Comparison& comparison) {
  const std::string table =
      part_of_table(comparison, display_table(comparison),
                    "Mean ± 95 % interval over seeds on test; means on retention, and their change", is_side_column);
  return table.empty() ? "" : "<h2 id=\"others\">Other metrics</h2>\n" + table;
}

std::string header(const Page& page) {
  const Comparison& comparison = page.comparison;
  std::set<int64_t> seeds;
  for (const store::RunDetail& detail : page.runs) seeds.insert(detail.run.seed);
  const std::string name = shown(comparison.experiment);
  return fmt::format(
      "<header>\n<h1>{}</h1>\n<p class=\"verdict\">{}</p>\n<dl class=\"facts\"><div><dt>primary metric</dt><dd>{}</dd>"
      "</div><div><dt>baseline</dt><dd>{}</dd></div><div><dt>methods</dt><dd>{}</dd></div><div><dt>seeds</dt><dd>{}</"
      "dd>"
      "</div><div><dt>runs</dt><dd>{}</dd></div></dl>\n</header>\n",
      name, shown(verdict(comparison), 1000), shown(comparison.primary),
      comparison.baseline.empty() ? "none" : shown(comparison.baseline), comparison.methods.size(), seeds.size(),
      page.runs.size());
}

std::string footer(const Page& page) {
  const std::string name = shown(page.comparison.experiment);
  return fmt::format(
      "<h2 id=\"method\">How to read this</h2>\n<p>Intervals are Student's t over seeds, 95 %. A verdict compares a "
      "method with the baseline on the same seeds: it is &quot;no clear difference&quot; where p, of the paired t-test "
      "and after Holm's correction over the methods, is not below 0.05, and is withheld below two seeds; methods that "
      "share no two "
      "seeds with the baseline are compared by Welch's test. Times are of training alone, memory is its peak in the "
      "run's own process.</p>\n"
      "<p>This page: <code>peftlab report '{}' -o FILE.html</code>. Its runs: <code>peftlab run FILE.toml</code>, with "
      "this file, which the store <code>{}</code> (schema {}) keeps.</p>\n<pre>{}</pre>\n",
      name, shown(page.store_uuid), store::kSchemaVersion, shown(page.config_text, 20'000));
}

}  // namespace

std::string render_html(const Page& page) {
  std::string out = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src "
      "data:; script-src {}\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{}</title>\n<style>{}</style>\n"
      "</head>\n<body>\n",
      script_source(kScript), shown(page.comparison.experiment), kStyle);
  out += header(page) + "<h2 id=\"verdicts\">Verdicts</h2>\n" + verdict_table(page.comparison);
  out += render_figures(page) + other_metrics(page.comparison) + render_settings(page) + render_seeds(page);
  out += render_examples(page.examples, page.comparison.primary) + render_provenance(page) + footer(page);
  return out + "<script>" + kScript + "</script>\n</body>\n</html>\n";
}

}  // namespace peftlab::report
