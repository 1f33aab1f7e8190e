#include "run/inputs.h"

#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"
#include "support/sha256.h"

#include <peftlab/error.h>

namespace peftlab::run {
namespace fs = std::filesystem;

std::string model_files_sha256(const fs::path& folder) {
  std::map<std::string, std::string> sums;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!entry.is_regular_file() || entry.path().extension() == ".safetensors") continue;
    if (entry.file_size() > (uintmax_t{64} << 20)) continue;
    sums[entry.path().filename().string()] = sha256_file(entry.path());
  }
  std::string lines;
  for (const auto& [name, sum] : sums) lines += sum + "  " + name + "\n";
  return sha256_hex(lines);
}

config::OptionChecker option_checker(const registry::Registry& registry) {
  return [&registry](const std::string& kind, const std::string& name, const Table& options) {
    config::OptionCheck check;
    const std::map<std::string, Kind> kinds = {
        {"method", Kind::method}, {"metric", Kind::metric}, {"dataset", Kind::dataset}};
    const Kind wanted = kinds.at(kind);
    const registry::Plugin* plugin = registry.find_if(wanted, name);
    if (!plugin || plugin->name != name) {
      check.known = false;
      check.available = registry.names(wanted);
      return check;
    }
    Params params(options, "plugin " + name);
    switch (wanted) {
      case Kind::method:
        check.stands_alone = registry.make_method(name, params)->saves_model();
        break;
      case Kind::metric:
        registry.make_metric(name, params);
        break;
      default:
        registry.make_dataset(name, params);
    }
    check.declared = params.declared();
    check.problems = params.problems();
    return check;
  };
}

std::vector<std::pair<std::string, std::string>> given_splits(const plan::RunSpec& spec) {
  std::vector<std::pair<std::string, std::string>> splits;
  const auto add = [&](const char* name, const std::string& path) {
    if (!path.empty()) splits.emplace_back(name, path);
  };
  add("train", spec.train_data);
  add("validation", spec.validation_data);
  add("test", spec.test_data);
  add("retention", spec.retention_data);
  return splits;
}

const Inputs::Data& Inputs::data(const plan::PluginUse& dataset, const std::string& path) {
  const std::string key = dataset.plugin + to_json(dataset.options) + path;
  if (const auto known = data_.find(key); known != data_.end()) return known->second;
  Params params(dataset.options, "plugin " + dataset.plugin);
  const auto opened = registry_.make_dataset(dataset.plugin, params);
  params.finish();
  // Any picture size will do here: what is wanted is that each one can be read.
  opened->open(path, ImageSpec{});
  if (opened->size() == 0) throw FormatError(path + ": holds no example");
  return data_[key] = {opened->fingerprint(), opened->size()};
}

const Inputs::Base& Inputs::base(const plan::RunSpec& spec) {
  const std::string key = spec.model_path + " " + spec.model_init;
  if (const auto known = bases_.find(key); known != bases_.end()) return known->second;
  Base base;
  const Table config = checkpoint::read_config(spec.model_path);
  base.model_type = *config.at("model_type").get_if<std::string>();
  base.files_sha256 = model_files_sha256(spec.model_path);
  if (spec.model_init == "pretrained") {
    base.sha256 = checkpoint::weights_sha256(spec.model_path);
    for (const auto& file : checkpoint::weight_files(spec.model_path)) {
      const checkpoint::SafetensorsFile tensors(file);
      for (const std::string& name : tensors.names()) base.parameters += tensors.tensor(name).numel();
    }
  }
  return bases_[key] = base;
}

plan::Checksums Inputs::checksums(const plan::RunSpec& spec) {
  plan::Checksums sums;
  const Base& model = base(spec);
  sums["model files"] = model.files_sha256;
  if (!model.sha256.empty()) sums["base"] = model.sha256;
  for (const auto& [split, path] : given_splits(spec)) sums[split] = data(spec.dataset, path).sha256;
  const auto plugin = [&](Kind kind, const std::string& name) {
    const registry::Plugin& found = registry_.find(kind, name);
    sums["plugin " + found.name] = found.sha256;
  };
  plugin(Kind::model, model.model_type);
  plugin(Kind::dataset, spec.dataset.plugin);
  for (const auto& method : spec.methods) plugin(Kind::method, method.plugin);
  for (const auto& metric : spec.metrics) plugin(Kind::metric, metric.plugin);
  return sums;
}

store::RunInputs Inputs::record(const plan::RunSpec& spec, store::Store& store) {
  store::RunInputs inputs;
  const Base& model = base(spec);
  if (!model.sha256.empty()) {
    inputs.base_model = store.add_base_model({.name = spec.model_path,
                                              .arch = registry_.find(Kind::model, model.model_type).name,
                                              .n_params = model.parameters,
                                              .dtype = spec.model_dtype,
                                              .sha256 = model.sha256});
  }
  for (const auto& [split, path] : given_splits(spec)) {
    const Data& found = data(spec.dataset, path);
    inputs.datasets.push_back(store.add_dataset({.name = fs::path(path).filename().string(),
                                                 .split = split,
                                                 .path = path,
                                                 .n_rows = found.rows,
                                                 .sha256 = found.sha256}));
  }
  const auto plugin = [&](Kind kind, const std::string& name) {
    const registry::Plugin& found = registry_.find(kind, name);
    inputs.plugins.push_back(store.add_plugin({.name = found.name,
                                               .kind = registry::kind_name(kind),
                                               .file = found.file.string(),
                                               .sha256 = found.sha256,
                                               .abi = found.abi,
                                               .torch_version = found.torch_version}));
  };
  plugin(Kind::model, model.model_type);
  plugin(Kind::dataset, spec.dataset.plugin);
  for (const auto& method : spec.methods) plugin(Kind::method, method.plugin);
  for (const auto& metric : spec.metrics) plugin(Kind::metric, metric.plugin);
  return inputs;
}

}  // namespace peftlab::run
