#include "plan/trials.h"
#include "run/search.h"

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::run {
namespace {

using store::RunDetail;

/// The search over one method's values.
struct Trials {
  std::vector<plan::TrialOutcome> outcomes;
  double seconds = 0.0;  ///< of training
  bool higher_is_better = false;
  bool is_done = false;       ///< nothing is left to try, or nothing to choose
  bool is_untrained = false;  ///< the method trains nothing: there is nothing to tune
  int64_t n_failed = 0;
  std::string last_failure;
};

class Tuning {
 public:
  Tuning(const config::Experiment& experiment, Selection& methods, Tryouts& tryouts)
      : tune_(*experiment.tune),
        primary_(experiment.primary),
        combinations_(plan::combinations(tune_)),
        methods_(methods),
        tryouts_(tryouts) {
    for (const auto& [label, method] : methods_) trials_[label];
  }

  void run() {
    // The first round shows which methods train nothing; with a budget of seconds each round shows what is left of it.
    for (size_t first = 0; first < combinations_.size();) {
      const size_t n = first == 0 || tune_.seconds ? 1 : combinations_.size() - first;
      round(first, n);
      first += n;
    }
    for (const auto& [label, trials] : trials_) choose(label, trials);
  }

 private:
  /// Tries the combinations `first` to `first + n` with every method that is not done.
  void round(size_t first, size_t n) {
    std::vector<std::pair<std::string, size_t>> asked;
    std::vector<plan::RunSpec> specs;
    for (const auto& [label, trials] : trials_) {
      for (size_t i = first; i < first + n && !trials.is_done; ++i) {
        asked.emplace_back(label, i);
        specs.push_back(plan::trial_of(methods_.at(label).spec, combinations_[i], tune_.seed));
      }
    }
    if (specs.empty()) return;
    const auto made = tryouts_.make(specs);
    for (size_t i = 0; i < specs.size(); ++i) {
      const auto found = trials_.find(asked[i].first);
      if (found == trials_.end()) continue;  // a trial before it could not be made
      if (made[i]) {
        note(found->second, combinations_[asked[i].second], *made[i]);
      } else {
        methods_.erase(asked[i].first);
        trials_.erase(found);
      }
    }
  }

  void note(Trials& trials, const Table& values, const RunDetail& made) {
    plan::TrialOutcome outcome{values, std::nullopt};
    for (const store::Score& score : made.scores) {
      if (made.run.state != "finished" || score.split != "validation") continue;
      if (score.metric == "loss") outcome.loss = score.value;
      if (score.metric != primary_) continue;
      outcome.score = score.value;
      trials.higher_is_better = score.higher_is_better;
    }
    if (!outcome.score) {
      ++trials.n_failed;
      trials.last_failure = made.run.error_text;
    }
    trials.outcomes.push_back(std::move(outcome));
    trials.seconds += made.run.train_seconds.value_or(0.0);
    trials.is_untrained = made.run.state == "finished" && made.run.trainable_parameters == 0;
    trials.is_done = trials.is_untrained || (tune_.seconds && trials.seconds >= *tune_.seconds);
  }

  void choose(const std::string& label, const Trials& trials) {
    if (trials.is_untrained) return;
    const auto best = plan::best_trial(trials.outcomes, trials.higher_is_better);
    if (!best) {
      tryouts_.problem(label, fmt::format("all {} trials failed; the last: {}", trials.n_failed, trials.last_failure));
      methods_.erase(label);
      return;
    }
    const Table& values = trials.outcomes[*best].values;
    Chosen& method = methods_.at(label);
    std::string text;
    for (const auto& [key, value] : values) {
      method.choices.push_back(choice_of(key, value, trials));
      const auto& flag = method.choices.back().flag;
      text += fmt::format("{}{} = {}{}", text.empty() ? "" : ", ", key, to_json(value), flag ? " (" + *flag + ")" : "");
    }
    tryouts_.say(fmt::format("{}: {}: {} {} on validation is the best of {} trials", label, text, primary_,
                             *trials.outcomes[*best].score, trials.outcomes.size()));
    method.spec = plan::with_train_keys(method.spec, values);
  }

  store::Choice choice_of(const std::string& key, const Value& value, const Trials& trials) const {
    List tried;
    for (const plan::TrialOutcome& outcome : trials.outcomes) {
      const Value& one = outcome.values.at(key);
      if (std::find(tried.begin(), tried.end(), one) == tried.end()) tried.push_back(one);
    }
    std::string doubts = plan::edge(value, tune_.values.at(key)).value_or("");
    if (trials.n_failed > 0) {
      doubts +=
          fmt::format("{}{} of {} trials failed", doubts.empty() ? "" : "; ", trials.n_failed, trials.outcomes.size());
    }
    return {.option = "train." + key,
            .chosen_by = "tune",
            .value = value,
            .tried = plan::ascending(tried),
            .criterion = primary_ + " on validation",
            .flag = doubts.empty() ? std::nullopt : std::optional(doubts),
            .n_tried = static_cast<int64_t>(trials.outcomes.size()),
            .seconds = trials.seconds};
  }

  const config::TuneSection& tune_;
  const std::string& primary_;
  const std::vector<Table> combinations_;
  Selection& methods_;
  Tryouts& tryouts_;
  std::map<std::string, Trials> trials_;
};

}  // namespace

void tune(const config::Experiment& experiment, Selection& methods, Tryouts& tryouts) {
  if (experiment.tune) Tuning(experiment, methods, tryouts).run();
}

}  // namespace peftlab::run
