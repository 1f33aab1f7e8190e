#pragma once

/// \file
/// The options of the commands that load a model, and what they open.

#include "attach/session.h"
#include "command_line.h"
#include "registry/registry.h"

#include <peftlab/dataset.h>
#include <peftlab/metric.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::cli {

/// The plugins that the program finds.
registry::Registry open_registry();

struct ModelOptions {
  std::string model, device = "auto", dtype = "float32";
  std::vector<std::string> adapters, weights;

  /// Declares --model, --adapter, --adapter-weight and --device.
  void declare(CommandLine& line);
  /// Declares --dtype, for commands that only compute.
  void declare_type(CommandLine& line);
  /// Throws: FormatError, PluginError; ConfigError for a device that is not there, a type or weights that are none.
  attach::Session open(const registry::Registry& registry) const;
};

struct DataOptions {
  std::string data, plugin, train;
  std::vector<std::string> settings;
  int64_t batch_size = 32, max_length = 0;

  /// Declares --data, --plugin, --data-set, --train, --batch-size and --max-length.
  void declare(CommandLine& line, const char* data_meaning);
  void check() const;
  /// Throws: FormatError, PluginError.
  std::unique_ptr<Dataset> open(const attach::Session& session, const registry::Registry& registry) const;
};

/// Options of a plugin as KEY=VALUE; VALUE is JSON, or a text as it stands. Throws: ConfigError naming `option`.
Table plugin_settings(const std::vector<std::string>& settings, const char* option = "--set");

/// A data set plugin of this name with these options, opened.
std::unique_ptr<Dataset> open_dataset(const std::string& plugin, const Table& options,
                                      const std::filesystem::path& file, const attach::Session& session,
                                      const registry::Registry& registry);

/// Metric plugins with the options that `--set` gives them: METRIC.KEY=VALUE, or KEY=VALUE where there is one metric.
/// VALUE is JSON, or a text as it stands. Throws: ConfigError, PluginError.
std::vector<std::unique_ptr<Metric>> make_metrics(const std::vector<std::string>& names,
                                                  const std::vector<std::string>& settings,
                                                  const registry::Registry& registry);

/// Prints scores as a table or list of metric, value and n_items, and their details to standard error.
void print_scores(const std::vector<Score>& scores, report::Format format);

}  // namespace peftlab::cli
