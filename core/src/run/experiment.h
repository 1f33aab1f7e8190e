#pragma once

/// \file
/// `peftlab run`: the calls in order. Read the file, plan, check the inputs, make what is missing in processes of their
/// own, and leave every result in the store.

#include "registry/registry.h"
#include "run/bars.h"
#include "store/store.h"

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

namespace peftlab::run {

struct RunOptions {
  std::vector<std::string> overrides;  ///< KEY=VALUE
  std::string only;                    ///< label pattern; empty: all
  std::vector<int64_t> seeds;          ///< empty: the file's
  int jobs = 1;                        ///< runs at once; 0: as many as choose_jobs() finds best
  std::string device = "auto";
  Bars::Style style = Bars::Style::lines;
};

/// What an invocation did.
struct RunSummary {
  std::string experiment;
  int64_t finished = 0;  ///< in this invocation
  int64_t reused = 0;    ///< were there already
  int64_t failed = 0;
};

/// The text of `--plan`. Throws: ConfigError.
std::string plan_of(const std::filesystem::path& file, const registry::Registry& registry, const RunOptions& options);

/// Runs the experiment in `file`. Everything that can be known to be wrong is said before anything is trained; a run that
/// fails is a row with its reason, and the others go on.
/// Throws: ConfigError, FormatError, PluginError, StoreError; Interrupted after every run was asked to save and stop.
RunSummary run_experiment(const std::filesystem::path& file, const std::filesystem::path& store,
                          const registry::Registry& registry, const RunOptions& options, std::ostream& progress);

}  // namespace peftlab::run
