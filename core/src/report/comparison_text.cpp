// The comparison as text: terminal, Markdown, LaTeX, CSV, JSON.

#include "report/comparison.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace peftlab::report {
namespace {

using store::Cell;

constexpr const char* kNothing = "-";

/// How many decimals give the largest of a column's numbers four significant digits.
int decimals_for(const std::vector<double>& values) {
  double largest = 0.0;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  if (largest == 0.0) return 4;
  return std::clamp(3 - static_cast<int>(std::floor(std::log10(largest))), 0, 10);
}

std::string with_half_width(double mean, const std::optional<double>& low, int decimals, bool sign) {
  std::string text = sign ? fmt::format("{:+.{}f}", mean, decimals) : fmt::format("{:.{}f}", mean, decimals);
  if (low) text += fmt::format(" ± {:.{}f}", mean - *low, decimals);
  return text;
}

template <typename T>
Cell cell_of(const std::optional<T>& value) {
  return value ? Cell(*value) : Cell();
}

template <typename T>
Value value_of(const std::optional<T>& value) {
  return value ? Value(*value) : Value();
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string run_line(const store::RunRow& run) {
  std::string line = fmt::format("{} seed {}", run.label, run.seed);
  if (run.attempt > 1) line += fmt::format(" (attempt {})", run.attempt);
  line += ": ";
  if (run.state != "failed") return line + run.state;
  line += run.error_kind;
  return run.error_text.empty() ? line : line + ": " + first_line(run.error_text);
}

std::string title_of(const Comparison& comparison) {
  std::string title = comparison.experiment;
  if (!comparison.metrics.empty() && comparison.metrics.front().name == comparison.primary) {
    title += fmt::format(": {} on test, {} is better", comparison.primary,
                         comparison.metrics.front().higher_is_better ? "higher" : "lower");
  } else {
    title += fmt::format(": no run has {} on test yet", comparison.primary);
  }
  title += "; mean ± 95 % interval over seeds";
  if (!comparison.baseline.empty()) {
    title += fmt::format("; differences to {}, paired by seed; p after Holm over the methods", comparison.baseline);
  }
  return title;
}

/// Adds a column; `cell` makes a method's text.
template <typename Make>
void add_column(const Comparison& comparison, DisplayTable& table, const std::string& name, bool right, Make cell) {
  table.columns.push_back(name);
  table.right.push_back(right);
  for (size_t i = 0; i < comparison.methods.size(); ++i) table.rows[i].push_back(cell(comparison.methods[i]));
}

void add_metric_columns(const Comparison& comparison, DisplayTable& table, const MetricInfo& metric) {
  const auto find = [&](const MethodResult& method) {
    const auto found = method.metrics.find(metric.name);
    return found == method.metrics.end() ? nullptr : &found->second;
  };
  std::vector<double> means;
  for (const MethodResult& method : comparison.methods) {
    if (const MetricResult* result = find(method)) means.push_back(result->test.mean);
  }
  const int decimals = decimals_for(means);
  add_column(comparison, table, metric.name, true, [&](const MethodResult& method) -> std::string {
    const MetricResult* result = find(method);
    return result ? with_half_width(result->test.mean, result->test.ci95_low, decimals, false) : kNothing;
  });
  if (metric.name != comparison.primary || comparison.baseline.empty()) return;
  const auto against = [&](const MethodResult& method) {
    const MetricResult* result = find(method);
    return result && result->against ? &*result->against : nullptr;
  };
  add_column(comparison, table, "difference", true, [&](const MethodResult& method) -> std::string {
    const store::PairedRow* row = against(method);
    if (!row || !row->mean_difference) return kNothing;
    return with_half_width(*row->mean_difference, row->ci95_low, decimals, true) +
           (find(method)->is_paired ? "" : " (unpaired)");
  });
  add_column(comparison, table, "p", true, [&](const MethodResult& method) -> std::string {
    const MetricResult* result = find(method);
    if (!result || !result->p_holm) return kNothing;
    return *result->p_holm < 0.001 ? "<0.001" : fmt::format("{:.3f}", *result->p_holm);
  });
  add_column(comparison, table, "verdict", false, [&](const MethodResult& method) -> std::string {
    if (method.is_baseline) return "baseline";
    const MetricResult* result = find(method);
    return result && !result->verdict.empty() ? result->verdict : kNothing;
  });
}

std::string choice_text(const store::Choice& choice) {
  const std::string name = choice.option.starts_with("train.") ? choice.option.substr(6) : choice.option;
  return fmt::format("{} {}{}", name, to_json(choice.value), choice.flag ? "*" : "");
}

/// What searches chose, and below the table what is to be doubted of it.
void add_choices(const Comparison& comparison, DisplayTable& table) {
  const bool any = std::any_of(comparison.methods.begin(), comparison.methods.end(),
                               [](const MethodResult& method) { return !method.choices.empty(); });
  if (!any) return;
  add_column(comparison, table, "chosen", false, [](const MethodResult& method) -> std::string {
    std::string text;
    for (const store::Choice& choice : method.choices) text += (text.empty() ? "" : ", ") + choice_text(choice);
    return text.empty() ? kNothing : text;
  });
  for (const MethodResult& method : comparison.methods) {
    for (const store::Choice& choice : method.choices) {
      if (!choice.flag) continue;
      table.notes.push_back(fmt::format("* {}: {} = {} by {}: {}; tried: {}", method.label, choice.option,
                                        to_json(choice.value), choice.criterion, *choice.flag,
                                        to_json(Value(choice.tried))));
    }
  }
}

std::string parameters_text(const MethodResult& method) {
  if (!method.trainable_parameters) return kNothing;
  std::string text = count_text(*method.trainable_parameters);
  if (method.total_parameters && *method.total_parameters > 0) {
    const double percent =
        100.0 * static_cast<double>(*method.trainable_parameters) / static_cast<double>(*method.total_parameters);
    text += fmt::format(" ({:.3g} %)", percent);
  }
  return text;
}

Value run_value(const store::RunRow& run) {
  return Table{{"run_uuid", run.uuid},        {"label", run.label}, {"seed", run.seed},
               {"attempt", run.attempt},      {"state", run.state}, {"error_kind", run.error_kind},
               {"error_text", run.error_text}};
}

Value method_value(const MethodResult& method) {
  Table metrics;
  for (const auto& [name, result] : method.metrics) {
    Table entry{{"n", result.test.n},
                {"mean", result.test.mean},
                {"sd", value_of(result.test.sd)},
                {"ci95_low", value_of(result.test.ci95_low)},
                {"ci95_high", value_of(result.test.ci95_high)},
                {"higher_is_better", result.test.higher_is_better}};
    if (result.against) {
      entry["difference"] = Table{{"n", result.against->n},
                                  {"mean", value_of(result.against->mean_difference)},
                                  {"ci95_low", value_of(result.against->ci95_low)},
                                  {"ci95_high", value_of(result.against->ci95_high)},
                                  {"p", value_of(result.p)},
                                  {"p_holm", value_of(result.p_holm)},
                                  {"is_paired", result.is_paired},
                                  {"verdict", result.verdict}};
    }
    metrics[name] = std::move(entry);
  }
  Table retention;
  for (const auto& [name, after] : method.retention) retention[name] = after;
  List choices;
  for (const store::Choice& choice : method.choices) {
    choices.push_back(Table{{"option", choice.option},
                            {"chosen_by", choice.chosen_by},
                            {"value", choice.value},
                            {"tried", choice.tried},
                            {"criterion", choice.criterion},
                            {"flag", value_of(choice.flag)},
                            {"n_tried", choice.n_tried},
                            {"seconds", value_of(choice.seconds)}});
  }
  return Table{{"label", method.label},
               {"method", method.method},
               {"is_baseline", method.is_baseline},
               {"n_finished", method.n_finished},
               {"test", std::move(metrics)},
               {"retention", std::move(retention)},
               {"choices", std::move(choices)},
               {"trainable_parameters", value_of(method.trainable_parameters)},
               {"total_parameters", value_of(method.total_parameters)},
               {"train_seconds", value_of(method.train_seconds)},
               {"train_seconds_min", value_of(method.train_seconds_min)},
               {"train_seconds_max", value_of(method.train_seconds_max)},
               {"peak_memory_bytes", value_of(method.peak_memory_bytes)}};
}

}  // namespace

std::string bytes_text(int64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "kB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  // 999.5 would be written with four digits.
  while (value >= 999.5 && unit + 1 < kUnits.size()) {
    value /= 1000.0;
    ++unit;
  }
  if (unit == 0 || value >= 99.95) return fmt::format("{:.0f} {}", value, kUnits[unit]);
  return fmt::format("{:.{}f} {}", value, value >= 9.995 ? 1 : 2, kUnits[unit]);
}

std::string seconds_text(double seconds) {
  if (seconds < 9.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<int64_t>(std::llround(seconds));
  if (whole < 120) return fmt::format("{} s", whole);
  if (whole < 7200) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string count_text(int64_t count) {
  std::string digits = std::to_string(count);
  for (int64_t i = static_cast<int64_t>(digits.size()) - 3; i > (count < 0 ? 1 : 0); i -= 3) {
    digits.insert(static_cast<size_t>(i), ",");
  }
  return digits;
}

DisplayTable display_table(const Comparison& comparison) {
  DisplayTable table;
  table.title = title_of(comparison);
  table.rows.resize(comparison.methods.size());
  add_column(comparison, table, "method", false, [](const MethodResult& m) { return m.label; });
  add_column(comparison, table, "seeds", true, [](const MethodResult& m) { return std::to_string(m.n_finished); });
  for (const MetricInfo& metric : comparison.metrics) add_metric_columns(comparison, table, metric);
  add_column(comparison, table, "trainable", true, parameters_text);
  add_column(comparison, table, "training", true, [](const MethodResult& m) -> std::string {
    return m.train_seconds ? seconds_text(*m.train_seconds) : kNothing;
  });
  add_column(comparison, table, "memory", true, [](const MethodResult& m) -> std::string {
    return m.peak_memory_bytes ? bytes_text(*m.peak_memory_bytes) : kNothing;
  });
  for (const MetricInfo& metric : comparison.retention) {
    const double before = comparison.retention_before.at(metric.name);
    std::vector<double> numbers = {before};
    for (const MethodResult& method : comparison.methods) {
      if (const auto found = method.retention.find(metric.name); found != method.retention.end()) {
        numbers.push_back(found->second);
      }
    }
    const int decimals = decimals_for(numbers);
    add_column(comparison, table, "retention " + metric.name, true, [&](const MethodResult& method) -> std::string {
      const auto found = method.retention.find(metric.name);
      if (found == method.retention.end()) return kNothing;
      return fmt::format("{:.{}f} ({:+.{}f})", found->second, decimals, found->second - before, decimals);
    });
    table.notes.push_back(
        fmt::format("retention {}: on what the base could do before, when it had {:.{}f}; the change in brackets",
                    metric.name, before, decimals));
  }
  add_choices(comparison, table);
  for (const Front& front : comparison.fronts) {
    table.notes.push_back(
        fmt::format("unbeaten in mean {} and {}: {}", comparison.primary, front.cost, fmt::join(front.labels, ", ")));
  }
  for (const store::RunRow& run : comparison.failed) table.notes.push_back("failed: " + run_line(run));
  for (const store::RunRow& run : comparison.unfinished) table.notes.push_back("not finished: " + run_line(run));
  return table;
}

std::string render_terminal(const Comparison& comparison) {
  const DisplayTable table = display_table(comparison);
  std::string out = table.title + "\n\n";
  out += render_text_table(table.columns, table.rows, table.right, Format::table);
  if (!table.notes.empty()) out += "\n";
  for (const std::string& note : table.notes) out += note + "\n";
  return out;
}

std::string render_markdown(const Comparison& comparison) {
  const DisplayTable table = display_table(comparison);
  std::string out = escape_markdown(table.title) + "\n\n";
  out += render_text_table(table.columns, table.rows, table.right, Format::md);
  if (!table.notes.empty()) out += "\n";
  for (const std::string& note : table.notes) out += "- " + escape_markdown(note) + "\n";
  return out;
}

std::string render_latex(const Comparison& comparison) {
  const DisplayTable table = display_table(comparison);
  const auto cell = [](const std::string& text) {
    std::string out = escape_latex(text);
    for (size_t at = 0; (at = out.find("±", at)) != std::string::npos;) {
      out.replace(at, std::string("±").size(), "$\\pm$");
    }
    return out;
  };
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string out;
    for (size_t i = 0; i < cells.size(); ++i) out += (i == 0 ? "" : " & ") + cell(cells[i]);
    return out + " \\\\\n";
  };
  std::string columns;
  for (const bool right : table.right) columns += right ? 'r' : 'l';
  std::string out = "% " + cell(table.title) + "\n\\begin{tabular}{" + columns + "}\n\\toprule\n" +
                    line(table.columns) + "\\midrule\n";
  for (const std::vector<std::string>& row : table.rows) out += line(row);
  out += "\\bottomrule\n\\end{tabular}\n";
  for (const std::string& note : table.notes) out += "% " + cell(note) + "\n";
  return out;
}

store::Rows comparison_rows(const Comparison& comparison) {
  store::Rows rows;
  rows.columns = {"experiment",
                  "label",
                  "method",
                  "metric",
                  "split",
                  "n",
                  "mean",
                  "sd",
                  "ci95_low",
                  "ci95_high",
                  "baseline",
                  "n_pairs",
                  "mean_difference",
                  "difference_ci95_low",
                  "difference_ci95_high",
                  "p",
                  "p_holm",
                  "verdict",
                  "retention",
                  "retention_before",
                  "is_paired",
                  "trainable_parameters",
                  "total_parameters",
                  "train_seconds",
                  "peak_memory_bytes"};
  for (const MethodResult& method : comparison.methods) {
    for (const MetricInfo& metric : comparison.metrics) {
      const auto found = method.metrics.find(metric.name);
      if (found == method.metrics.end()) continue;
      const store::CompareRow& test = found->second.test;
      const auto& against = found->second.against;
      const auto after = method.retention.find(metric.name);
      const auto before = comparison.retention_before.find(metric.name);
      rows.rows.push_back({comparison.experiment,
                           method.label,
                           method.method,
                           metric.name,
                           "test",
                           test.n,
                           test.mean,
                           cell_of(test.sd),
                           cell_of(test.ci95_low),
                           cell_of(test.ci95_high),
                           against ? Cell(against->baseline) : Cell(),
                           against ? Cell(against->n) : Cell(),
                           against ? cell_of(against->mean_difference) : Cell(),
                           against ? cell_of(against->ci95_low) : Cell(),
                           against ? cell_of(against->ci95_high) : Cell(),
                           cell_of(found->second.p),
                           cell_of(found->second.p_holm),
                           against ? Cell(found->second.verdict) : Cell(),
                           after == method.retention.end() ? Cell() : Cell(after->second),
                           before == comparison.retention_before.end() ? Cell() : Cell(before->second),
                           against ? Cell(int64_t{found->second.is_paired}) : Cell(),
                           cell_of(method.trainable_parameters),
                           cell_of(method.total_parameters),
                           cell_of(method.train_seconds),
                           cell_of(method.peak_memory_bytes)});
    }
  }
  return rows;
}

std::string render_csv(const Comparison& comparison) { return render_table(comparison_rows(comparison), Format::csv); }

std::string render_json(const Comparison& comparison) {
  List methods, failed, unfinished;
  Table fronts;
  for (const Front& front : comparison.fronts) fronts[front.cost] = List(front.labels.begin(), front.labels.end());
  for (const MethodResult& method : comparison.methods) methods.push_back(method_value(method));
  Table before;
  for (const auto& [name, value] : comparison.retention_before) before[name] = value;
  for (const store::RunRow& run : comparison.failed) failed.push_back(run_value(run));
  for (const store::RunRow& run : comparison.unfinished) unfinished.push_back(run_value(run));
  return to_json(Value(Table{{"experiment", comparison.experiment},
                             {"primary", comparison.primary},
                             {"baseline", comparison.baseline.empty() ? Value() : Value(comparison.baseline)},
                             {"retention_before", std::move(before)},
                             {"methods", std::move(methods)},
                             {"fronts", std::move(fronts)},
                             {"failed", std::move(failed)},
                             {"unfinished", std::move(unfinished)}})) +
         "\n";
}

}  // namespace peftlab::report
