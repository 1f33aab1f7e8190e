#pragma once

/// \file
/// Plugins as the program makes them, for tests: found beside peftlab's own, or in a folder that PEFTLAB_PLUGIN_PATH names.

#include <peftlab/dataset.h>
#include <peftlab/export.h>
#include <peftlab/method.h>
#include <peftlab/metric.h>
#include <peftlab/model.h>
#include <peftlab/value.h>

#include <memory>
#include <string>

namespace peftlab::testing {

/// The folder of the plugins that belong to this peftlab.
PEFTLAB_API std::string plugin_folder();

/// An object of the plugin `name`. Throws: PluginError if there is none; ConfigError with all that is wrong with `options`.
PEFTLAB_API std::shared_ptr<Method> make_method(const std::string& name, const Table& options = {});
PEFTLAB_API std::unique_ptr<Metric> make_metric(const std::string& name, const Table& options = {});
PEFTLAB_API std::unique_ptr<Dataset> make_dataset(const std::string& name, const Table& options = {});
/// `config`: what config.json says. Weights are drawn from LibTorch's generator.
PEFTLAB_API std::shared_ptr<Model> make_model(const std::string& name, const Table& config);

}  // namespace peftlab::testing
