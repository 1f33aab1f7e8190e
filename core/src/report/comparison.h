#pragma once

/// \file
/// The comparison of an experiment's methods, as a plain struct and as text. All of it comes from the store.

#include "report/table.h"
#include "store/store.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::report {

/// A metric over a method's seeds on the split `test`, and its difference to the baseline.
struct MetricResult {
  store::CompareRow test;
  std::optional<store::PairedRow> against;  ///< absent for the baseline, and without one
  bool is_paired = true;  ///< false: too few seeds in common, so that `against` holds Welch's test over all of both
  /// Of the t-test over seeds, alone and after Holm's correction over the methods of the table; absent below two.
  std::optional<double> p, p_holm;
  std::string verdict;  ///< that of `against`, but "no clear difference" where p_holm is not below 0.05; empty without
};

/// One row of the comparison: a label over its finished seeds.
struct MethodResult {
  std::string label, method;
  bool is_baseline = false;
  int64_t n_finished = 0;                       ///< seeds
  std::map<std::string, MetricResult> metrics;  ///< by name
  std::optional<int64_t> trainable_parameters, total_parameters;
  std::optional<double> train_seconds, train_seconds_min, train_seconds_max;  ///< median over seeds; least; greatest
  std::optional<int64_t> peak_memory_bytes;                                   ///< of training, the greatest over seeds
  std::map<std::string, double> retention;  ///< by metric: mean on `retention`, after training
  std::vector<store::Choice> choices;       ///< what searches chose for it
};

struct MetricInfo {
  std::string name;
  bool higher_is_better = false;

  bool operator==(const MetricInfo&) const = default;
};

/// The methods that none beats in the primary metric's mean and a cost at once: none is as good in both and better in
/// one. Best first.
struct Front {
  std::string cost;  ///< "training", "memory", "trainable": a column of the table
  std::vector<std::string> labels;
};

struct Comparison {
  std::string experiment, primary, baseline;       ///< baseline: a label; empty: none
  std::vector<MetricInfo> metrics;                 ///< on test, the primary one first, then by name
  std::vector<MetricInfo> retention;               ///< those that were measured before and after
  std::map<std::string, double> retention_before;  ///< of those, the untouched base's
  std::vector<MethodResult> methods;      ///< best first by the primary metric; without one last, in the file's order
  std::vector<Front> fronts;              ///< of the costs that two methods or more have
  std::vector<store::RunRow> failed;      ///< whose newest attempt failed
  std::vector<store::RunRow> unfinished;  ///< pending, running, interrupted or cancelled
};

/// Throws: ConfigError if there is no such experiment; empty means the newest.
Comparison comparison(const store::Store& store, const std::string& experiment);

/// The table that `run` and `compare` end with, with failed runs and their reasons below.
std::string render_terminal(const Comparison& comparison);
std::string render_markdown(const Comparison& comparison);
/// A booktabs table, to be \input.
std::string render_latex(const Comparison& comparison);
/// Every number of the comparison, a row a label, metric and split `test`.
store::Rows comparison_rows(const Comparison& comparison);
std::string render_csv(const Comparison& comparison);
/// {"experiment", "primary", "baseline", "methods": [...], "fronts": {...}, "failed": [...], "unfinished": [...]} on one
/// line.
std::string render_json(const Comparison& comparison);

/// The cells of the terminal's table, as text, for the renderers.
struct DisplayTable {
  std::string title;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> right;
  std::vector<std::string> notes;  ///< lines below
};
DisplayTable display_table(const Comparison& comparison);

/// "1.5 kB", "412 MB", "1.23 GB": decimal units, three digits.
std::string bytes_text(int64_t bytes);
/// "0.8 s", "61 s", "12 min 5 s", "3 h 20 min".
std::string seconds_text(double seconds);
/// "1,234,567".
std::string count_text(int64_t count);

}  // namespace peftlab::report
