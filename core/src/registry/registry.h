#pragma once

/// \file
/// Names to plugins. The only room that opens libraries.
///
/// A library that was opened is never closed: objects made by it, and LibTorch's own statics, outlive any order in which
/// that could be done safely. A plugin is code with its user's rights; nothing here is a sandbox.

#include "registry/record.h"

#include <peftlab/dataset.h>
#include <peftlab/method.h>
#include <peftlab/metric.h>
#include <peftlab/model.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace peftlab::registry {

/// A plugin that passed its checks.
struct Plugin {
  std::string name;
  Kind kind;
  std::filesystem::path file;
  std::string sha256;
  std::string summary;
  std::string source;
  std::vector<std::string> aliases;
  std::string torch_version;
  uint32_t abi = 0;
  const Manifest* manifest = nullptr;
};

/// A library that is not used, and why.
struct Refusal {
  std::filesystem::path file;
  std::string reason;
};

/// "model", "dataset", "method", "metric".
std::string kind_name(Kind kind);

class Registry {
 public:
  /// Loads every *.so in `folders`, sorted by name, each checked before anything of it runs: its record names this
  /// ABI, LibTorch version and C++ ABI; loaded in another process, it does not end that (libraries that came with this
  /// peftlab are spared this); its manifest is that of the record, and its name is not taken. What fails is kept in
  /// refusals(). What loading changed of the host's state (see HostState) is put back.
  explicit Registry(const std::vector<std::filesystem::path>& folders);

  /// Loads one library more, checked alike. It comes after those that are there already.
  void load(const std::filesystem::path& file);

  /// The folders to look in: that of the plugins that belong to peftlab, then those of PEFTLAB_PLUGIN_PATH (separated by ':').
  static std::vector<std::filesystem::path> default_folders();

  /// All that are used, sorted by kind and name.
  const std::vector<Plugin>& plugins() const { return plugins_; }
  const std::vector<Refusal>& refusals() const { return refusals_; }

  /// The plugin of a kind that has this name, or answers to it as an alias.
  /// Throws: PluginError with the nearest name, the names there are, and a refusal that may be the reason.
  const Plugin& find(Kind kind, const std::string& name) const;
  /// The same, nullptr if there is none.
  const Plugin* find_if(Kind kind, const std::string& name) const;
  std::vector<std::string> names(Kind kind) const;

  /// New objects. Options are read from `params`; what is wrong with them is for the caller to ask (Params::finish()).
  /// Throws: PluginError naming plugin and file, if its constructor throws anything but a peftlab::Error.
  std::shared_ptr<Model> make_model(const std::string& name, Params& params) const;
  std::unique_ptr<Dataset> make_dataset(const std::string& name, Params& params) const;
  std::shared_ptr<Method> make_method(const std::string& name, Params& params) const;
  std::unique_ptr<Metric> make_metric(const std::string& name, Params& params) const;

  /// The options a method, metric or dataset declares, found by making one from an empty table.
  std::vector<OptionSpec> options(const Plugin& plugin) const;

 private:
  void load_all(const std::vector<std::filesystem::path>& files);
  void open(const std::filesystem::path& file, const Record& record);
  void* create(const Plugin& plugin, Params& params) const;

  std::vector<Plugin> plugins_;
  std::vector<Refusal> refusals_;
};

}  // namespace peftlab::registry
