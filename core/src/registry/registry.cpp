#include "registry/registry.h"

#include "base/places.h"
#include "registry/host_state.h"
#include "registry/trial.h"
#include "support/sha256.h"

#include <peftlab/error.h>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/shared_library.hpp>

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace peftlab::registry {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSymbol = "peftlab_plugin";

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

/// Opened for good: the list is never destroyed, so no library is closed before the process ends.
std::vector<boost::dll::shared_library>& opened_libraries() {
  static auto* libraries = new std::vector<boost::dll::shared_library>();
  return *libraries;
}

}  // namespace

std::string kind_name(Kind kind) {
  switch (kind) {
    case Kind::model:
      return "model";
    case Kind::dataset:
      return "dataset";
    case Kind::method:
      return "method";
    case Kind::metric:
      return "metric";
  }
  return "kind " + std::to_string(static_cast<uint32_t>(kind));
}

namespace {

/// Why the manifest of a loaded library cannot be believed; empty if it can. The record was checked before.
std::string manifest_problem(const Manifest& manifest, const Record& record) {
  if (manifest.magic != kManifestMagic) return "its symbol `peftlab_plugin` is no manifest";
  if (manifest.abi != record.abi || manifest.name == nullptr || manifest.name != record.name || manifest.kind < 1 ||
      manifest.kind > 4) {
    return "its manifest and the record in its file contradict each other";
  }
  if (manifest.create == nullptr) return "its manifest has no factory";
  return "";
}

}  // namespace

Registry::Registry(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) {
    std::error_code error;
    std::vector<fs::path> files;
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
      if (it->path().extension() == ".so") files.push_back(fs::absolute(it->path()));
    }
    if (error) {
      refusals_.push_back({folder, "the folder cannot be read: " + error.message()});
      continue;
    }
    std::sort(files.begin(), files.end());
    load_all(files);
  }
  std::sort(plugins_.begin(), plugins_.end(), [](const Plugin& a, const Plugin& b) {
    return std::make_pair(a.kind, a.name) < std::make_pair(b.kind, b.name);
  });
}

std::vector<fs::path> Registry::default_folders() {
  std::vector<fs::path> folders = {plugin_folder()};
  if (const char* more = std::getenv("PEFTLAB_PLUGIN_PATH")) {
    for (const std::string& folder : split(more, ':')) folders.emplace_back(folder);
  }
  return folders;
}

void Registry::load(const fs::path& file) { load_all({file}); }

void Registry::load_all(const std::vector<fs::path>& files) {
  std::map<fs::path, Record> records;
  std::vector<fs::path> strange;
  const size_t first = refusals_.size();
  for (const fs::path& file : files) {
    try {
      const Record record = read_record(file);
      if (const std::string problem = record_problem(record); !problem.empty()) throw PluginError(problem);
      records[file] = record;
      // Those that came with this program are as good as the program.
      if (file.parent_path() != plugin_folder()) strange.push_back(file);
    } catch (const PluginError& error) {
      refusals_.push_back({file, error.what()});
    }
  }
  const auto deadly = loads_that_end_the_process(strange);
  for (const fs::path& file : files) {
    const auto record = records.find(file);
    if (record == records.end()) continue;
    const auto ended = deadly.find(file);
    if (ended != deadly.end()) {
      refusals_.push_back({file, ended->second});
    } else {
      open(file, record->second);
    }
  }
  // Some were refused before others were looked at: told in the order of the files.
  std::stable_sort(refusals_.begin() + static_cast<std::ptrdiff_t>(first), refusals_.end(),
                   [](const Refusal& a, const Refusal& b) { return a.file < b.file; });
}

void Registry::open(const fs::path& file, const Record& record) {
  const auto refuse = [&](const std::string& reason) { refusals_.push_back({file, reason}); };
  const HostState host(/*random=*/true);
  std::error_code error;
  boost::dll::shared_library library;
  try {
    library.load(file, error, boost::dll::load_mode::rtld_now | boost::dll::load_mode::rtld_local);
  } catch (const std::exception& thrown) {
    host.restore();
    return refuse(std::string("it throws while it is loaded: ") + thrown.what());
  } catch (...) {
    host.restore();
    return refuse("it throws something while it is loaded");
  }
  host.restore();
  if (error) return refuse("it cannot be loaded: " + error.message());
  opened_libraries().push_back(library);
  if (!library.has(kSymbol)) return refuse("it exports no `peftlab_plugin`: it is no peftlab plugin");
  const Manifest& manifest = library.get<const Manifest>(kSymbol);
  if (const std::string problem = manifest_problem(manifest, record); !problem.empty()) return refuse(problem);

  Plugin plugin;
  plugin.name = manifest.name;
  plugin.kind = static_cast<Kind>(manifest.kind);
  plugin.file = file;
  plugin.summary = manifest.summary ? manifest.summary : "";
  plugin.source = manifest.source ? manifest.source : "";
  plugin.aliases = split(manifest.aliases ? manifest.aliases : "", ' ');
  plugin.torch_version = manifest.torch_version;
  plugin.abi = manifest.abi;
  plugin.manifest = &manifest;
  for (const Plugin& other : plugins_) {
    if (other.name == plugin.name) {
      return refuse("its name `" + plugin.name + "` is taken by " + other.file.string());
    }
    if (other.kind != plugin.kind) continue;
    for (const std::string& alias : plugin.aliases) {
      if (std::find(other.aliases.begin(), other.aliases.end(), alias) != other.aliases.end()) {
        return refuse("its alias `" + alias + "` is taken by " + other.file.string());
      }
    }
  }
  plugin.sha256 = sha256_file(file);
  plugins_.push_back(std::move(plugin));
}

const Plugin* Registry::find_if(Kind kind, const std::string& name) const {
  for (const Plugin& plugin : plugins_) {
    if (plugin.kind == kind && plugin.name == name) return &plugin;
  }
  for (const Plugin& plugin : plugins_) {
    if (plugin.kind == kind && std::find(plugin.aliases.begin(), plugin.aliases.end(), name) != plugin.aliases.end()) {
      return &plugin;
    }
  }
  return nullptr;
}

const Plugin& Registry::find(Kind kind, const std::string& name) const {
  if (const Plugin* plugin = find_if(kind, name)) return *plugin;
  std::string message = "there is no " + kind_name(kind) + " plugin `" + name + "`. " + suggestion(name, names(kind));
  for (const Refusal& refusal : refusals_) {
    if (refusal.file.stem() == name) message += "\n" + refusal.file.string() + " was refused: " + refusal.reason;
  }
  throw PluginError(message);
}

std::vector<std::string> Registry::names(Kind kind) const {
  std::vector<std::string> names;
  for (const Plugin& plugin : plugins_) {
    if (plugin.kind == kind) names.push_back(plugin.name);
  }
  return names;
}

void* Registry::create(const Plugin& plugin, Params& params) const {
  const std::string who = "plugin " + plugin.name + " (" + plugin.file.string() + ")";
  const HostState host(/*random=*/false);  // first values may be drawn
  const struct Restore {
    const HostState& host;
    ~Restore() { host.restore(); }
  } restore{host};
  try {
    if (void* object = plugin.manifest->create(&params)) return object;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& error) {
    throw PluginError(who + " threw while it was made: " + error.what());
  } catch (...) {
    throw PluginError(who + " threw something while it was made");
  }
  throw PluginError(who + " made nothing");
}

std::shared_ptr<Model> Registry::make_model(const std::string& name, Params& params) const {
  return std::shared_ptr<Model>(static_cast<Model*>(create(find(Kind::model, name), params)));
}

std::unique_ptr<Dataset> Registry::make_dataset(const std::string& name, Params& params) const {
  return std::unique_ptr<Dataset>(static_cast<Dataset*>(create(find(Kind::dataset, name), params)));
}

std::shared_ptr<Method> Registry::make_method(const std::string& name, Params& params) const {
  return std::shared_ptr<Method>(static_cast<Method*>(create(find(Kind::method, name), params)));
}

std::unique_ptr<Metric> Registry::make_metric(const std::string& name, Params& params) const {
  return std::unique_ptr<Metric>(static_cast<Metric*>(create(find(Kind::metric, name), params)));
}

std::vector<OptionSpec> Registry::options(const Plugin& plugin) const {
  Params params({}, "plugin " + plugin.name);
  switch (plugin.kind) {
    case Kind::dataset:
      make_dataset(plugin.name, params);
      break;
    case Kind::method:
      make_method(plugin.name, params);
      break;
    case Kind::metric:
      make_metric(plugin.name, params);
      break;
    case Kind::model:
      return {};  // a model's options are its config.json
  }
  return params.declared();
}

}  // namespace peftlab::registry
