#pragma once

/// \file
/// The laws of one plugin, tried one by one in processes of their own.

#include "registry/registry.h"

#include <peftlab/testing/conformance.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::cli {

/// One law on one subject.
struct LawTrial {
  std::string subject;  ///< the model a method is tried on; empty for the other kinds
  int number = 0;       ///< of the law, from 1
  const char* name;
  const char* statement;
  const char* cause;
  std::function<testing::Violations()> run;
};

/// What came of it.
struct LawResult {
  std::vector<std::string> violations, measured;
};

/// What the user gives for the plugin to be tried with.
struct CheckOptions {
  Table settings;                           ///< options of the plugin
  std::filesystem::path sample;             ///< a data file or config.json; empty: the plugin's own
  std::optional<int64_t> parameters, rank;  ///< what a method trains on the toy model, by its formula; bounds of law 15
};

/// All laws of the plugin's kind. `folder`: empty, for samples. Throws: ConfigError if a sample is needed and there is none.
std::vector<LawTrial> law_trials(const registry::Registry& registry, const registry::Plugin& plugin,
                                 const registry::Registry& others, const CheckOptions& options,
                                 const std::filesystem::path& folder);

/// Runs it in a process of its own; what ends that process is a violation.
LawResult run_apart(const LawTrial& trial, std::chrono::seconds patience);

}  // namespace peftlab::cli
