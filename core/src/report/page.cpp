// What the page is made from, read from the store.

#include "report/html.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace peftlab::report {
namespace {

std::optional<double> number(const Value* value) {
  if (!value) return std::nullopt;
  if (const auto* whole = value->get_if<int64_t>()) return static_cast<double>(*whole);
  const auto* real = value->get_if<double>();
  return real ? std::optional(*real) : std::nullopt;
}

/// What trials scored on validation data, by label and value of one [train] key; of several trials of a value the best.
std::map<std::string, std::map<double, double>> scores_of(const std::vector<store::RunDetail>& trials,
                                                          const std::string& key, const std::string& metric) {
  std::map<std::string, std::map<double, double>> found;
  for (const store::RunDetail& trial : trials) {
    const auto train = trial.config.find("train");
    const auto value = train == trial.config.end() ? std::nullopt : number(train->second.find(key));
    if (!value || trial.run.state != "finished") continue;
    for (const store::Score& score : trial.scores) {
      if (score.split != "validation" || score.metric != metric) continue;
      double& best = found[trial.run.of_label.value_or("")].try_emplace(*value, score.value).first->second;
      best = score.higher_is_better ? std::max(best, score.value) : std::min(best, score.value);
    }
  }
  return found;
}

/// One figure for each key with numbers that [tune] chose.
std::vector<SearchCurves> searches(const std::vector<store::RunDetail>& trials, const Comparison& comparison) {
  std::set<std::string> keys;
  for (const MethodResult& method : comparison.methods) {
    for (const store::Choice& choice : method.choices) {
      if (choice.chosen_by == "tune") keys.insert(choice.option.substr(choice.option.find('.') + 1));
    }
  }
  std::vector<SearchCurves> out;
  for (const std::string& key : keys) {
    const auto scores = scores_of(trials, key, comparison.primary);
    SearchCurves search{key, {}};
    for (size_t i = 0; i < comparison.methods.size(); ++i) {
      const auto found = scores.find(comparison.methods[i].label);
      if (found == scores.end() || comparison.methods[i].choices.empty()) continue;
      Curve curve{comparison.methods[i].label, {}, {}, {}, {}, i};
      for (const auto& [value, score] : found->second) {
        curve.x.push_back(value);
        curve.mean.push_back(score);
        curve.n.push_back(1);
      }
      curve.low = curve.high = curve.mean;
      search.curves.push_back(std::move(curve));
    }
    if (!search.curves.empty()) out.push_back(std::move(search));
  }
  return out;
}

}  // namespace

Curve curve_of(const std::string& label, const std::vector<std::vector<store::MetricPoint>>& runs, int n_buckets) {
  Curve curve{label, {}, {}, {}, {}, 0, {}};
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
    curve.n.push_back(static_cast<int64_t>(members.size()));
  }
  return curve;
}

Page page(const store::Store& store, const std::string& experiment) {
  Page page;
  page.comparison = comparison(store, experiment);
  page.store_uuid = store.uuid();
  page.config_text = store.config_text(page.comparison.experiment);
  using Losses = std::map<std::string, std::vector<std::vector<store::MetricPoint>>>;
  Losses training, validation;
  std::vector<store::RunDetail> trials;
  for (const store::RunRow& run : store.runs(page.comparison.experiment)) {
    if (run.is_current && run.is_newest && run.role == "trial") trials.push_back(store.run(run.uuid));
    if (!run.is_compared()) continue;
    page.runs.push_back(store.run(run.uuid));
    if (!run.is_newest || run.state != "finished") continue;
    for (const std::string& name : page.runs.back().series) {
      if (name == "train/loss") training[run.label].push_back(store.series(run.uuid, name));
      if (name == "validation/loss") validation[run.label].push_back(store.series(run.uuid, name));
    }
  }
  std::vector<std::string> labels;
  for (const MethodResult& method : page.comparison.methods) labels.push_back(method.label);
  // The loss of single batches is mostly noise: a part of the curve is the mean of several.
  constexpr int kTrainingParts = 30, kValidationParts = 200;
  const auto curves = [&](Losses& losses, int n_parts) {
    std::vector<Curve> out;
    for (size_t i = 0; i < labels.size(); ++i) {
      Curve curve = curve_of(labels[i], losses[labels[i]], n_parts);
      curve.colour = i;
      if (!curve.x.empty()) out.push_back(std::move(curve));
    }
    return out;
  };
  page.curves = curves(training, kTrainingParts);
  page.validation_curves = curves(validation, kValidationParts);
  page.searches = searches(trials, page.comparison);
  page.examples = read_examples(store, page.runs, labels, page.comparison.primary);
  return page;
}

}  // namespace peftlab::report
