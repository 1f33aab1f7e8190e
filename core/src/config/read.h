#pragma once

/// \file
/// TOML text -> Experiment, or every mistake in it at once.

#include "config/experiment.h"

#include <peftlab/params.h>

#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::config {

/// Options of a plugin, as the plugin itself sees them. Where there is no such plugin, `known` is false and `available`
/// names those there are.
struct OptionCheck {
  bool known = true;
  std::vector<std::string> available;
  std::vector<OptionSpec> declared;
  std::vector<OptionProblem> problems;
  bool stands_alone = false;  ///< of a method: nothing can be put beside it
};

/// Asks a plugin of a kind ("method", "metric", "dataset") about options. Config knows no registry; it is handed this.
using OptionChecker =
    std::function<OptionCheck(const std::string& kind, const std::string& plugin, const Table& options)>;

/// The most runs one file may ask for.
inline constexpr int64_t kMostRuns = 10'000;

/// Reads an experiment file of at most 1 MiB. `overrides` are the KEY=VALUE of `--set`: KEY is a section and a key
/// ("train.steps"), or "method.LABEL.KEY" and "metric.PLUGIN.KEY"; VALUE is a TOML value or bare text.
/// Paths come out absolute, relative ones taken from the file's folder, whether or not anything is there.
/// Throws: ConfigError, whose text shows every mistake with its place (see diagnostic.h) and is to be printed as it is.
Experiment read_experiment(const std::filesystem::path& path, const OptionChecker& checker,
                           const std::vector<std::string>& overrides = {});

/// The same for a text; `path` names it in messages, and relative paths are taken from its folder.
Experiment parse_experiment(std::string_view text, const std::filesystem::path& path, const OptionChecker& checker,
                            const std::vector<std::string>& overrides = {});

}  // namespace peftlab::config
