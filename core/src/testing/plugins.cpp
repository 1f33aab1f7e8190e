#include <peftlab/testing/plugins.h>

#include "base/places.h"
#include "registry/registry.h"

namespace peftlab::testing {
namespace {

const registry::Registry& plugins() {
  static const registry::Registry registry(registry::Registry::default_folders());
  return registry;
}

/// What `make` makes of these options, once all is said that is wrong with them.
template <typename Make>
auto made(const std::string& name, const Table& options, Make make) {
  Params params(options, "plugin " + name);
  auto object = make(params);
  params.finish();
  return object;
}

}  // namespace

std::string plugin_folder() { return peftlab::plugin_folder().string(); }

std::shared_ptr<Method> make_method(const std::string& name, const Table& options) {
  return made(name, options, [&](Params& params) { return plugins().make_method(name, params); });
}

std::unique_ptr<Metric> make_metric(const std::string& name, const Table& options) {
  return made(name, options, [&](Params& params) { return plugins().make_metric(name, params); });
}

std::unique_ptr<Dataset> make_dataset(const std::string& name, const Table& options) {
  return made(name, options, [&](Params& params) { return plugins().make_dataset(name, params); });
}

std::shared_ptr<Model> make_model(const std::string& name, const Table& config) {
  return made(name, config, [&](Params& params) {
    params.ignore({"model_type"});
    return plugins().make_model(name, params);
  });
}

}  // namespace peftlab::testing
