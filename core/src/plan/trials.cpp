#include "plan/trials.h"

#include "config/sections.h"
#include "config/variants.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace peftlab::plan {
namespace {

std::optional<double> number(const Value& value) {
  if (const auto* real = value.get_if<double>()) return *real;
  if (const auto* integer = value.get_if<int64_t>()) return static_cast<double>(*integer);
  return std::nullopt;
}

/// Fisher and Yates's, written out: std::shuffle may differ between standard libraries.
void shuffle(std::vector<Table>& items, int64_t seed) {
  std::mt19937_64 random(static_cast<uint64_t>(seed));
  for (size_t left = items.size(); left > 1; --left) std::swap(items[left - 1], items[random() % left]);
}

}  // namespace

std::vector<Table> combinations(const config::TuneSection& tune) {
  std::vector<Table> all = {{}};
  for (const auto& [key, values] : tune.values) {
    std::vector<Table> longer;
    for (const Table& table : all) {
      for (const Value& value : values) longer.emplace_back(table)[key] = value;
    }
    all = std::move(longer);
  }
  if (tune.trials || tune.seconds) shuffle(all, tune.seed);
  if (tune.trials && static_cast<size_t>(*tune.trials) < all.size()) all.resize(static_cast<size_t>(*tune.trials));
  return all;
}

RunSpec with_train_keys(const RunSpec& method, const Table& keys) {
  RunSpec spec = method;
  spec.train = config::merged(method.train, keys);
  return spec;
}

RunSpec trial_of(const RunSpec& method, const Table& values, int64_t seed) {
  RunSpec trial = with_train_keys(method, values);
  trial.role = "trial";
  trial.of_label = method.label;
  std::string text;
  for (const auto& [key, value] : values) {
    text += fmt::format("{}{}={}", text.empty() ? "" : ", ", key, config::label_text(value));
  }
  trial.label = fmt::format("{} [{}]", method.label, text);
  trial.is_baseline = false;
  trial.test_data.clear();
  trial.retention_data.clear();
  std::erase_if(trial.metrics, [&](const PluginUse& metric) { return metric.plugin != method.primary; });
  trial.seed = seed;
  return trial;
}

namespace {

bool is_better(const TrialOutcome& a, const TrialOutcome& b, bool higher_is_better) {
  if (*a.score != *b.score) return higher_is_better ? *a.score > *b.score : *a.score < *b.score;
  return a.loss && b.loss && *a.loss < *b.loss;
}

}  // namespace

std::optional<size_t> best_trial(const std::vector<TrialOutcome>& trials, bool higher_is_better) {
  std::optional<size_t> best;
  for (size_t i = 0; i < trials.size(); ++i) {
    if (trials[i].score && (!best || is_better(trials[i], trials[*best], higher_is_better))) best = i;
  }
  return best;
}

std::optional<std::string> edge(const Value& value, const List& tried) {
  const auto chosen = number(value);
  if (!chosen || tried.size() < 2) return std::nullopt;
  bool is_least = true, is_greatest = true;
  for (const Value& other : tried) {
    const auto there = number(other);
    if (!there) return std::nullopt;
    is_least = is_least && *chosen <= *there;
    is_greatest = is_greatest && *chosen >= *there;
  }
  if (is_least) return "at the lower edge";
  if (is_greatest) return "at the upper edge";
  return std::nullopt;
}

List ascending(const List& values) {
  List sorted = values;
  if (!std::all_of(values.begin(), values.end(), [](const Value& v) { return number(v).has_value(); })) return sorted;
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Value& a, const Value& b) { return *number(a) < *number(b); });
  return sorted;
}

}  // namespace peftlab::plan
