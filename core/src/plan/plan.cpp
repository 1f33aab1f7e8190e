#include "plan/plan.h"

#include "config/sections.h"
#include "config/variants.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include <fnmatch.h>

namespace peftlab::plan {
namespace {

PluginUse use_of(const config::PluginTable& table) { return {table.plugin, table.options}; }

template <typename T>
std::string listed(const std::vector<T>& items) {
  std::string text;
  std::set<T> seen;
  for (const T& item : items) {
    if (seen.insert(item).second) {
      text += fmt::format("{}{}", text.empty() ? "" : ", ", item);
    }
  }
  return text;
}

}  // namespace

std::vector<RunSpec> expand(const config::Experiment& experiment) {
  RunSpec common;
  common.experiment = experiment.name;
  common.model_path = experiment.model.path.string();
  common.model_init = experiment.model.init;
  common.model_dtype = experiment.model.dtype;
  common.model_labels = experiment.model.labels;
  common.dataset = use_of(experiment.data.dataset);
  common.train_data = experiment.data.train.string();
  common.validation_data = experiment.data.validation.string();
  common.test_data = experiment.data.test.string();
  common.retention_data = experiment.data.retention.string();
  common.max_length = experiment.data.max_length;
  for (const config::PluginTable& metric : experiment.metrics) {
    common.metrics.push_back(use_of(metric));
  }
  common.primary = experiment.primary;

  std::vector<RunSpec> runs;
  for (const config::MethodSection& method : experiment.methods) {
    for (const config::Variant& variant : config::variants(method, experiment.train)) {
      RunSpec run = common;
      run.label = variant.label;
      run.is_baseline = !experiment.baseline.empty() && variant.label == experiment.baseline;
      for (const config::PluginTable& plugin : variant.plugins) {
        run.methods.push_back(use_of(plugin));
      }
      run.train = config::merged(experiment.train, variant.train);
      for (const int64_t seed : experiment.seeds) {
        runs.push_back(run);
        runs.back().seed = seed;
      }
    }
  }
  return runs;
}

std::map<std::string, SizeOption> size_options(const config::Experiment& experiment) {
  std::map<std::string, SizeOption> sizes;
  for (const config::MethodSection& method : experiment.methods) {
    if (method.size.empty()) continue;
    for (const config::Variant& variant : config::variants(method, experiment.train)) {
      SizeOption size{method.size, 8};
      for (const Table* table : {&variant.plugins.front().defaults, &variant.plugins.front().options}) {
        const auto entry = table->find(method.size);
        const auto* given = entry == table->end() ? nullptr : entry->second.get_if<int64_t>();
        if (given) size.first = *given;
      }
      sizes[variant.label] = size;
    }
  }
  return sizes;
}

std::vector<RunSpec> filter(const std::vector<RunSpec>& runs, const std::string& only,
                            const std::vector<int64_t>& seeds) {
  std::vector<std::string> labels;
  std::vector<int64_t> planned;
  for (const RunSpec& run : runs) {
    labels.push_back(run.label);
    planned.push_back(run.seed);
  }
  for (const int64_t seed : seeds) {
    if (std::find(planned.begin(), planned.end(), seed) == planned.end()) {
      throw ConfigError(fmt::format("seed {} is none of the plan's seeds: {}", seed, listed(planned)));
    }
  }
  std::vector<RunSpec> kept;
  for (const RunSpec& run : runs) {
    const bool label_fits = only.empty() || fnmatch(only.c_str(), run.label.c_str(), 0) == 0;
    if (label_fits && (seeds.empty() || std::find(seeds.begin(), seeds.end(), run.seed) != seeds.end())) {
      kept.push_back(run);
    }
  }
  if (kept.empty() && !runs.empty()) {
    throw ConfigError(fmt::format("no label matches \"{}\"; labels: {}", only, listed(labels)));
  }
  return kept;
}

std::string plugin_names(const RunSpec& run) {
  std::string names;
  for (const PluginUse& method : run.methods) {
    names += (names.empty() ? "" : "+") + method.plugin;
  }
  return names;
}

std::string plan_text(const std::vector<RunSpec>& runs) {
  size_t label_width = 0;
  size_t plugin_width = 0;
  for (const RunSpec& run : runs) {
    label_width = std::max(label_width, run.label.size());
    plugin_width = std::max(plugin_width, plugin_names(run).size());
  }
  std::string text;
  for (const RunSpec& run : runs) {
    text += fmt::format("{:<{}}  {:<{}}  seed {}\n", run.label, label_width, plugin_names(run), plugin_width, run.seed);
  }
  return text;
}

}  // namespace peftlab::plan
