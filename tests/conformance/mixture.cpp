#include "mixture.h"

#include <peftlab/error.h>

#include <algorithm>

namespace peftlab::conformance {
namespace {

/// The tensors whose names begin with "<part>/", without that.
TensorMap part_of(const TensorMap& tensors, const std::string& part) {
  TensorMap own;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with(part + "/")) own[name.substr(part.size() + 1)] = tensor;
  }
  return own;
}

/// Refuses by name what does not fit `wanted`, whose values stay as they are.
void check_names(const TensorMap& found, const TensorMap& wanted) {
  TensorMap like;
  for (const auto& [name, tensor] : wanted) like[name] = torch::empty_like(tensor);
  copy_tensors(found, like, "the mixture");
}

}  // namespace

Mixture::Mixture(Params& params, const std::vector<std::string>& plugins, const Make& make) {
  for (const std::string& plugin : plugins) {
    Params own(params.get<Table>(plugin, Table(), "options of that part"), plugin);
    parts_.emplace_back(plugin, make(plugin, own));
    for (const OptionProblem& problem : own.problems()) params.check(false, plugin, problem.message);
    register_module(plugin, parts_.back().second);
  }
}

void Mixture::prepare(Model& model) {
  for (const auto& [name, part] : parts_) part->prepare(model);
}

void Mixture::attach(Model& model, const Tokenizer& tokenizer) {
  for (const auto& [name, part] : parts_) part->attach(model, tokenizer);
}

bool Mixture::starts_at_base() const {
  return std::all_of(parts_.begin(), parts_.end(), [](const auto& part) { return part.second->starts_at_base(); });
}

void Mixture::merge(Model& model) {
  std::vector<Method*> merged;
  try {
    for (const auto& [name, part] : parts_) {
      part->merge(model);
      merged.push_back(part.get());
    }
  } catch (const UnsupportedError&) {
    for (auto part = merged.rbegin(); part != merged.rend(); ++part) (*part)->unmerge(model);
    throw;
  }
}

void Mixture::unmerge(Model& model) {
  std::vector<Method*> unmerged;
  try {
    for (auto part = parts_.rbegin(); part != parts_.rend(); ++part) {
      part->second->unmerge(model);
      unmerged.push_back(part->second.get());
    }
  } catch (const UnsupportedError&) {
    for (auto part = unmerged.rbegin(); part != unmerged.rend(); ++part) (*part)->merge(model);
    throw;
  }
}

double Mixture::rate_factor(const std::string& parameter) const {
  for (const auto& [name, part] : parts_) {
    if (parameter.starts_with(name + ".")) return part->rate_factor(parameter.substr(name.size() + 1));
  }
  return 1.0;
}

void Mixture::begin_training(int64_t steps) {
  for (const auto& [name, part] : parts_) part->begin_training(steps);
}

torch::Tensor Mixture::penalty() const {
  torch::Tensor sum;
  for (const auto& [name, part] : parts_) {
    const torch::Tensor own = part->penalty();
    if (own.defined()) sum = sum.defined() ? sum + own : own;
  }
  return sum;
}

void Mixture::after_step(int64_t step) {
  for (const auto& [name, part] : parts_) part->after_step(step);
}

AdapterFiles Mixture::save(Model& model) const {
  AdapterFiles files;
  for (const auto& [name, part] : parts_) {
    const AdapterFiles own = part->save(model);
    files.config[name] = own.config;
    for (const auto& [tensor, values] : own.tensors) files.tensors[name + "/" + tensor] = values;
    for (const auto& [tensor, values] : own.extra) files.extra[name + "/" + tensor] = values;
  }
  return files;
}

void Mixture::load(Model& model, const AdapterFiles& files) {
  const AdapterFiles before = save(model);
  check_names(files.tensors, before.tensors);
  if (!files.extra.empty()) check_names(files.extra, before.extra);
  for (const auto& [name, part] : parts_) {
    AdapterFiles own;
    own.tensors = part_of(files.tensors, name);
    own.extra = part_of(files.extra, name);
    part->load(model, own);
  }
}

Table Mixture::options_from(const Table& adapter_config) const {
  Table options;
  for (const auto& [name, part] : parts_) {
    options[name] = part->options_from(*adapter_config.at(name).get_if<Table>());
  }
  return options;
}

}  // namespace peftlab::conformance
