#include "report/comparison.h"
#include "statistics/tests.h"

#include <algorithm>

namespace peftlab::report {
namespace {

using store::CompareRow;
using store::RunRow;

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Fills in parameters, time and memory from the finished runs of one label. A number that one of them lacks is absent.
void add_costs(const std::vector<const RunRow*>& runs, MethodResult& result) {
  if (runs.empty()) return;
  const auto same = [&](auto member) {
    auto value = runs.front()->*member;
    for (const RunRow* run : runs) {
      if (run->*member != value) value.reset();
    }
    return value;
  };
  result.trainable_parameters = same(&RunRow::trainable_parameters);
  result.total_parameters = same(&RunRow::total_parameters);
  std::vector<double> seconds;
  std::optional<int64_t> peak = 0;
  for (const RunRow* run : runs) {
    if (run->train_seconds) seconds.push_back(*run->train_seconds);
    peak = peak && run->peak_memory_bytes ? std::optional(std::max(*peak, *run->peak_memory_bytes)) : std::nullopt;
  }
  result.peak_memory_bytes = peak;
  if (seconds.size() != runs.size()) return;
  result.train_seconds = median(seconds);
  result.train_seconds_min = *std::min_element(seconds.begin(), seconds.end());
  result.train_seconds_max = *std::max_element(seconds.begin(), seconds.end());
}

/// What the base could do before, and each method after: of the primary metric and the loss. Before is what the run of
/// the untouched base says, or the method "none".
void add_retention(const std::vector<CompareRow>& base, const std::vector<CompareRow>& rows, Comparison& comparison) {
  const auto counts = [&](const CompareRow& row) {
    return row.split == "retention" && (row.metric == "loss" || row.metric == comparison.primary);
  };
  std::map<std::string, bool> known;
  for (const auto* source : {&rows, &base}) {
    for (const CompareRow& row : *source) {
      if (!counts(row) || (source == &rows && row.method != "none")) continue;
      comparison.retention_before[row.metric] = row.mean;
      known[row.metric] = row.higher_is_better;
    }
  }
  for (const CompareRow& row : rows) {
    if (!counts(row) || !known.contains(row.metric)) continue;
    for (MethodResult& method : comparison.methods) {
      if (method.label == row.label) method.retention[row.metric] = row.mean;
    }
  }
  for (const auto& [metric, higher] : known) comparison.retention.push_back({metric, higher});
}

/// Methods that share fewer than two seeds with the baseline, but have two each: Welch's test over all of them.
void add_unpaired(const std::string& metric, std::vector<MethodResult>& methods) {
  const auto result_of = [&](MethodResult& method) {
    const auto found = method.metrics.find(metric);
    return found == method.metrics.end() ? nullptr : &found->second;
  };
  const auto baseline =
      std::find_if(methods.begin(), methods.end(), [](const MethodResult& method) { return method.is_baseline; });
  const MetricResult* other = baseline == methods.end() ? nullptr : result_of(*baseline);
  if (!other || !other->test.sd) return;
  for (MethodResult& method : methods) {
    MetricResult* result = result_of(method);
    if (!result || !result->against || result->against->n >= 2 || !result->test.sd) continue;
    const auto found = statistics::welch({result->test.n, result->test.mean, *result->test.sd},
                                         {other->test.n, other->test.mean, *other->test.sd});
    result->is_paired = false;
    result->p = found.p;
    result->against->mean_difference = found.difference;
    result->against->ci95_low = found.ci95_low;
    result->against->ci95_high = found.ci95_high;
    const bool is_up = found.difference > 0;
    result->against->verdict = found.ci95_low <= 0 && found.ci95_high >= 0 ? "no clear difference"
                               : is_up == result->test.higher_is_better    ? "better"
                                                                           : "worse";
  }
}

/// What the differences in one metric say together: the more methods are tried, the likelier one of them looks better by
/// chance.
void add_verdicts(const std::string& metric, std::vector<MethodResult>& methods) {
  std::vector<MetricResult*> tried;
  std::vector<double> p;
  for (MethodResult& method : methods) {
    const auto found = method.metrics.find(metric);
    if (found == method.metrics.end() || !found->second.against) continue;
    MetricResult& result = found->second;
    result.verdict = result.against->verdict;
    if (result.is_paired) {
      if (!result.against->mean_difference || !result.against->sd_difference) continue;
      result.p =
          statistics::p_of_mean(*result.against->mean_difference, *result.against->sd_difference, result.against->n);
    }
    tried.push_back(&result);
    p.push_back(*result.p);
  }
  const std::vector<double> adjusted = statistics::holm(p);
  for (size_t i = 0; i < tried.size(); ++i) {
    tried[i]->p_holm = adjusted[i];
    if (adjusted[i] >= 0.05) tried[i]->verdict = "no clear difference";
  }
}

/// Best first by the primary metric; those without it after those with it.
void rank(Comparison& comparison) {
  const std::string& primary = comparison.primary;
  std::stable_sort(comparison.methods.begin(), comparison.methods.end(),
                   [&](const MethodResult& a, const MethodResult& b) {
                     const auto x = a.metrics.find(primary);
                     const auto y = b.metrics.find(primary);
                     if (x == a.metrics.end() || y == b.metrics.end())
                       return x != a.metrics.end() && y == b.metrics.end();
                     const double left = x->second.test.mean;
                     const double right = y->second.test.mean;
                     return x->second.test.higher_is_better ? left > right : left < right;
                   });
}

/// What is left to choose among: `methods` are ranked.
void add_fronts(Comparison& comparison) {
  const auto add = [&](const char* name, auto cost_of) {
    std::vector<std::string> labels;
    std::vector<statistics::Offer> offers;
    for (const MethodResult& method : comparison.methods) {
      const auto found = method.metrics.find(comparison.primary);
      const auto cost = cost_of(method);
      if (found == method.metrics.end() || !cost) continue;
      const CompareRow& test = found->second.test;
      labels.push_back(method.label);
      offers.push_back({static_cast<double>(*cost), test.higher_is_better ? test.mean : -test.mean});
    }
    if (labels.size() < 2) return;
    Front front{name, {}};
    const std::vector<bool> unbeaten = statistics::pareto_front(offers);
    for (size_t i = 0; i < labels.size(); ++i) {
      if (unbeaten[i]) front.labels.push_back(labels[i]);
    }
    comparison.fronts.push_back(std::move(front));
  };
  add("training", [](const MethodResult& method) { return method.train_seconds; });
  add("memory", [](const MethodResult& method) { return method.peak_memory_bytes; });
  add("trainable", [](const MethodResult& method) { return method.trainable_parameters; });
}

}  // namespace

Comparison comparison(const store::Store& store, const std::string& experiment) {
  Comparison result;
  result.experiment = store.resolve_experiment(experiment);
  for (const store::ExperimentRow& row : store.experiments(result.experiment)) {
    result.primary = row.primary_metric;
    result.baseline = row.baseline;
  }

  const std::vector<RunRow> runs = store.runs(result.experiment);
  std::vector<std::string> labels;
  std::map<std::string, std::vector<const RunRow*>> finished;
  std::map<std::string, const RunRow*> any;
  // The newest finished attempt of a seed is what scores are taken from.
  std::map<std::pair<std::string, int64_t>, const RunRow*> newest_finished;
  for (const RunRow& run : runs) {
    if (!run.is_compared()) continue;
    if (any.emplace(run.label, &run).second) labels.push_back(run.label);
    if (run.state == "finished") newest_finished[{run.label, run.seed}] = &run;
    if (!run.is_newest || run.state == "finished") continue;
    (run.state == "failed" ? result.failed : result.unfinished).push_back(run);
  }
  for (const auto& [key, run] : newest_finished) finished[key.first].push_back(run);

  const std::vector<CompareRow> scores = store.compare(result.experiment);
  const std::vector<store::PairedRow> paired = store.paired(result.experiment);
  std::map<std::string, bool> metrics;
  for (const std::string& label : labels) {
    MethodResult method;
    method.label = label;
    method.method = any[label]->method;
    method.is_baseline = any[label]->is_baseline;
    method.n_finished = static_cast<int64_t>(finished[label].size());
    add_costs(finished[label], method);
    for (const CompareRow& row : scores) {
      if (row.label != label || row.split != "test") continue;
      method.metrics[row.metric].test = row;
      metrics[row.metric] = row.higher_is_better;
    }
    for (const store::PairedRow& row : paired) {
      const auto found = method.metrics.find(row.metric);
      if (row.label == label && found != method.metrics.end()) found->second.against = row;
    }
    result.methods.push_back(std::move(method));
  }
  if (metrics.contains(result.primary)) result.metrics.push_back({result.primary, metrics[result.primary]});
  for (const auto& [name, higher] : metrics) {
    if (name != result.primary) result.metrics.push_back({name, higher});
  }
  for (const MetricInfo& metric : result.metrics) {
    add_unpaired(metric.name, result.methods);
    add_verdicts(metric.name, result.methods);
  }
  add_retention(store.base_scores(result.experiment), scores, result);
  for (const auto& [label, choices] : store.choices(result.experiment)) {
    for (MethodResult& method : result.methods) {
      if (method.label == label) method.choices = choices;
    }
  }
  rank(result);
  add_fronts(result);
  return result;
}

}  // namespace peftlab::report
