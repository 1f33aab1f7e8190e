#pragma once

/// \file
/// Experiment -> the runs it asks for.

#include "plan/run_spec.h"

#include <map>
#include <string>
#include <vector>

namespace peftlab::plan {

/// Every run of an experiment: its methods in the order of the file, the combinations of a grid (keys sorted, the last
/// one running fastest), and for each of them every seed. `model_path` is empty where the model is to be made by
/// `pretrain` first. Throws: ConfigError where a label cannot be filled; a file that was read without errors has none.
std::vector<RunSpec> expand(const config::Experiment& experiment);

/// The option that `match` chooses for a method, and where its search begins: the value given, else the default.
struct SizeOption {
  std::string option;
  int64_t first = 1;
};

/// By label; methods that stay as they are have none.
std::map<std::string, SizeOption> size_options(const config::Experiment& experiment);

/// The runs whose label matches the shell pattern `only` (empty: all) and whose seed is in `seeds` (empty: all).
/// Throws: ConfigError if nothing matches, or a seed is none of the plan's.
std::vector<RunSpec> filter(const std::vector<RunSpec>& runs, const std::string& only,
                            const std::vector<int64_t>& seeds);

/// Label, plugins and seed of each run, one run a line, in columns.
std::string plan_text(const std::vector<RunSpec>& runs);

/// The plugins of a run as one word: "lora", "lora+prefix".
std::string plugin_names(const RunSpec& run);

}  // namespace peftlab::plan
