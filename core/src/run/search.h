#pragma once

/// \file
/// What the host chooses itself before the seeds are run: the size of each method (`match`), then the values of [tune].
/// Everything tried is a run of the store, so that a search is resumed like any other run and nothing is tried twice.

#include "config/experiment.h"
#include "plan/run_spec.h"
#include "store/records.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace peftlab::run {

/// A method with what was chosen for it.
struct Chosen {
  plan::RunSpec spec;
  std::vector<store::Choice> choices;
};

/// Method label -> what was chosen. A method of which nothing could be chosen is absent.
using Selection = std::map<std::string, Chosen>;

/// The runs that a search asks for.
class Tryouts {
 public:
  virtual ~Tryouts() = default;
  /// Makes these runs as far as they are missing, and tells how each ended; nullopt: it was not made, because its method
  /// is not among those searched for now, or another process is at it.
  virtual std::vector<std::optional<store::RunDetail>> make(const std::vector<plan::RunSpec>& specs) = 0;
  /// Why nothing could be chosen for a method.
  virtual void problem(const std::string& label, const std::string& reason) = 0;
  /// What was chosen, in a line.
  virtual void say(const std::string& line) = 0;
};

/// Chooses the size of each method that has one, so that it costs what `match_to` costs.
void match_sizes(const config::Experiment& experiment, Selection& methods, Tryouts& tryouts);

/// Chooses the values of [tune] for each method: those of the best trial by the primary metric on validation data.
void tune(const config::Experiment& experiment, Selection& methods, Tryouts& tryouts);

}  // namespace peftlab::run
