#pragma once

/// \file
/// Which linear maps are adapted, and the rank and alpha of each, by the rules of Hugging Face peft.

#include "low_rank/options.h"

#include <peftlab/model.h>

#include <regex>
#include <string>
#include <vector>

namespace peftlab::low_rank {

/// The maps that `targets` name, and those of them that are left and adapted, both in the model's order.
struct Selection {
  std::vector<std::string> named;
  std::vector<Linear*> adapted;
};

/// `targets` are those of the options, or the model type's.
/// Throws: ConfigError for a target, an excluded name or a layer that means nothing in this model, and if none is left.
Selection select(Model& model, const Options& options, const std::vector<std::string>& targets);

/// A rank_pattern or alpha_pattern: regular expressions for the end of names, from a dot on.
class Patterns {
 public:
  /// `option` names the table in messages. Throws: ConfigError for a pattern that means no module of the model.
  Patterns(const Table& table, const std::string& option, const Model& model);

  /// What the first pattern that means `name` gives it, or nullptr.
  const Value* find(const std::string& name) const;

 private:
  std::vector<std::pair<std::regex, Value>> patterns_;
};

}  // namespace peftlab::low_rank
