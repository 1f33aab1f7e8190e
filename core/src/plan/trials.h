#pragma once

/// \file
/// [tune]: the trials of a method, and what they say. Every method is tried with the same values, in the same order.

#include "config/experiment.h"
#include "plan/run_spec.h"

#include <optional>
#include <string>
#include <vector>

namespace peftlab::plan {

/// The combinations of [tune]'s values, as [train] keys, in the order they are tried: keys sorted, the last one running
/// fastest; but where not all may be tried (`trials`, `seconds`), shuffled by the seed, so that what is left out is left
/// out by chance. At most `trials`.
std::vector<Table> combinations(const config::TuneSection& tune);

/// `method` with these [train] keys.
RunSpec with_train_keys(const RunSpec& method, const Table& keys);

/// A run that shows how `method` does with these values: as long as a run, judged on validation data by the primary
/// metric; the test data stay unseen.
RunSpec trial_of(const RunSpec& method, const Table& values, int64_t seed);

/// What became of a trial; without a score: it failed.
struct TrialOutcome {
  Table values;
  std::optional<double> score;
  std::optional<double> loss = {};  ///< on validation data
};

/// The best trial by score; of equals the one with the least loss, then the first. nullopt if none has a score.
std::optional<size_t> best_trial(const std::vector<TrialOutcome>& trials, bool higher_is_better);

/// "at the lower edge" or "at the upper edge", where `value` is the least or greatest of two or more numbers tried: the
/// best one may lie outside. Absent for words.
std::optional<std::string> edge(const Value& value, const List& tried);

/// The list in ascending order if it holds numbers alone, else as it is.
List ascending(const List& values);

}  // namespace peftlab::plan
