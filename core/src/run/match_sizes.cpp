#include "plan/plan.h"
#include "plan/size_search.h"
#include "run/search.h"

#include <fmt/format.h>

namespace peftlab::run {
namespace {

using store::RunDetail;

/// Examples that go through the model in a whole training.
std::optional<double> planned_examples(const plan::RunSpec& method, const RunDetail& measured) {
  const auto& train = method.train;
  if (train.steps) return static_cast<double>(*train.steps * train.batch_size * train.gradient_accumulation);
  for (const store::Dataset& data : measured.datasets) {
    if (data.split == "train") return static_cast<double>(train.epochs.value_or(3) * data.n_rows);
  }
  return std::nullopt;
}

/// What the whole training of `method` costs by a run of a few of its steps.
std::optional<double> cost(const std::string& kind, const plan::RunSpec& method, const RunDetail& measured) {
  const store::RunRow& run = measured.run;
  if (kind == "parameters" && run.trainable_parameters) return static_cast<double>(*run.trainable_parameters);
  if (kind == "memory" && run.peak_memory_bytes) return static_cast<double>(*run.peak_memory_bytes);
  const auto examples = planned_examples(method, measured);
  if (kind == "seconds" && run.examples_per_second && examples) return *examples / *run.examples_per_second;
  return std::nullopt;
}

/// Whether a larger size would fail too: the method or the machine cannot do it.
bool is_refusal(const store::RunRow& run) {
  return run.state == "failed" && (run.error_kind == "bad configuration" || run.error_kind == "unsupported" ||
                                   run.error_kind == "out of memory");
}

/// The search for one method's size.
struct Sizing {
  plan::SizeOption option;
  plan::SizeSearch search;
  int64_t n_tried = 0;
  double seconds = 0.0;
};

std::string cost_text(const std::string& kind, double cost) {
  if (kind == "seconds") return fmt::format("{:.1f} s", cost);
  if (kind == "memory") return fmt::format("{:.1f} MB", cost / 1e6);
  return fmt::format("{:.0f} parameters", cost);
}

class Matching {
 public:
  Matching(const config::Experiment& experiment, Selection& methods, Tryouts& tryouts)
      : keys_(experiment.match), seed_(experiment.seeds.front()), methods_(methods), tryouts_(tryouts) {
    for (const auto& [label, option] : plan::size_options(experiment)) {
      if (methods_.contains(label) && label != keys_.to) options_.emplace(label, option);
    }
  }

  void run() {
    const auto target = target_cost();
    if (!target) return drop_all();
    for (const auto& [label, option] : options_) {
      sizings_.emplace(label, Sizing{option, plan::SizeSearch(option.first, *target, keys_.tolerance)});
    }
    while (round()) {
    }
    for (const auto& [label, sizing] : sizings_) choose(label, sizing, *target);
  }

 private:
  std::optional<double> target_cost() {
    const plan::RunSpec& method = methods_.at(keys_.to).spec;
    const auto made = tryouts_.make({plan::size_of(method, "", 0, keys_.steps, seed_)});
    if (!made[0]) return std::nullopt;
    const auto found = cost(keys_.cost, method, *made[0]);
    if (found && *found > 0) return found;
    tryouts_.problem(keys_.to, made[0]->run.state == "failed"
                                   ? "what it costs could not be measured: " + made[0]->run.error_text
                                   : fmt::format("there is nothing to match: it costs no {}", keys_.cost));
    return std::nullopt;
  }

  void drop_all() {
    for (const auto& [label, option] : options_) methods_.erase(label);
  }

  /// Measures the next size of every method that is not done; false where all are.
  bool round() {
    std::vector<std::string> labels;
    std::vector<int64_t> sizes;
    std::vector<plan::RunSpec> specs;
    for (const auto& [label, sizing] : sizings_) {
      const auto size = sizing.search.next();
      if (!size) continue;
      labels.push_back(label);
      sizes.push_back(*size);
      specs.push_back(plan::size_of(methods_.at(label).spec, sizing.option.option, *size, keys_.steps, seed_));
    }
    if (specs.empty()) return false;
    const auto made = tryouts_.make(specs);
    for (size_t i = 0; i < specs.size(); ++i) note(labels[i], sizes[i], made[i]);
    return true;
  }

  void note(const std::string& label, int64_t size, const std::optional<RunDetail>& made) {
    Sizing& sizing = sizings_.at(label);
    const auto found = made ? cost(keys_.cost, methods_.at(label).spec, *made) : std::nullopt;
    if (made) {
      ++sizing.n_tried;
      sizing.seconds += made->run.train_seconds.value_or(0.0);
    }
    if (made && made->run.state == "finished" && found) return sizing.search.measured(size, *found);
    if (made && is_refusal(made->run)) return sizing.search.refused(size);
    if (made) {
      tryouts_.problem(label,
                       fmt::format("{} = {} could not be measured: {}", sizing.option.option, size,
                                   made->run.state == "finished" ? "its cost is not known" : made->run.error_text));
    }
    sizings_.erase(label);
    methods_.erase(label);
  }

  void choose(const std::string& label, const Sizing& sizing, double target) {
    const auto best = sizing.search.best();
    if (!best) {
      tryouts_.problem(label, fmt::format("no value of {} can be made", sizing.option.option));
      methods_.erase(label);
      return;
    }
    store::Choice choice{.option = sizing.option.option,
                         .chosen_by = "match",
                         .value = best->size,
                         .criterion = fmt::format("{} of {}", keys_.cost, keys_.to),
                         .n_tried = sizing.n_tried,
                         .seconds = sizing.seconds};
    for (const auto& [size, cost] : sizing.search.costs()) choice.tried.emplace_back(size);
    if (!best->within) choice.flag = fmt::format("{:.2f} of the target", best->cost / target);
    tryouts_.say(fmt::format("{}: {} = {} costs {}, {} {}{}", label, choice.option, best->size,
                             cost_text(keys_.cost, best->cost), keys_.to, cost_text(keys_.cost, target),
                             best->within ? "" : " (nothing is within the tolerance)"));
    Chosen& method = methods_.at(label);
    method.spec = plan::with_size(method.spec, choice.option, best->size);
    method.choices.push_back(std::move(choice));
  }

  const config::MatchKeys& keys_;
  const int64_t seed_;
  Selection& methods_;
  Tryouts& tryouts_;
  std::map<std::string, plan::SizeOption> options_;
  std::map<std::string, Sizing> sizings_;
};

}  // namespace

void match_sizes(const config::Experiment& experiment, Selection& methods, Tryouts& tryouts) {
  if (!experiment.match.cost.empty()) Matching(experiment, methods, tryouts).run();
}

}  // namespace peftlab::run
