#include "train/adamw.h"

#include <peftlab/method.h>

namespace peftlab::train {

bool decays(const std::string& name, const torch::Tensor& parameter) {
  if (name.substr(name.find_last_of("/.") + 1).starts_with("bias")) return false;
  // Of the base's own parameters, one dimension is a norm's.
  return parameter.dim() > 1 || !name.starts_with("base/");
}

AdamW::AdamW(const TensorMap& parameters, const Options& options) : options_(options) {
  for (const auto& [name, parameter] : parameters) {
    const auto given = options.rate_factors.find(name);
    Group& group = group_of(decays(name, parameter) ? options.weight_decay : 0.0,
                            given == options.rate_factors.end() ? 1.0 : given->second);
    group.names.push_back(name);
    group.parameters.push_back(parameter);
    group.first.push_back(torch::zeros_like(parameter));
    group.second.push_back(torch::zeros_like(parameter));
    group.steps.push_back(torch::zeros({}, torch::TensorOptions(torch::kFloat32).device(parameter.device())));
  }
}

AdamW::Group& AdamW::group_of(double weight_decay, double rate_factor) {
  for (Group& group : groups_) {
    if (group.weight_decay == weight_decay && group.rate_factor == rate_factor) return group;
  }
  groups_.push_back({weight_decay, rate_factor, {}, {}, {}, {}, {}});
  return groups_.back();
}

void AdamW::step(double learning_rate) {
  const torch::NoGradGuard no_grad;
  for (Group& group : groups_) {
    std::vector<torch::Tensor> parameters, gradients, first, second, steps;
    for (size_t i = 0; i < group.parameters.size(); ++i) {
      if (!group.parameters[i].grad().defined()) continue;
      parameters.push_back(group.parameters[i]);
      gradients.push_back(group.parameters[i].grad());
      first.push_back(group.first[i]);
      second.push_back(group.second[i]);
      steps.push_back(group.steps[i].add_(1));
    }
    if (parameters.empty()) continue;
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, learning_rate * group.rate_factor,
                      options_.beta1, options_.beta2, group.weight_decay, options_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false);
  }
}

void AdamW::zero_gradients() {
  for (Group& group : groups_) {
    for (auto& parameter : group.parameters) parameter.mutable_grad().reset();
  }
}

TensorMap AdamW::state() const {
  TensorMap state;
  for (const Group& group : groups_) {
    for (size_t i = 0; i < group.names.size(); ++i) {
      state[group.names[i] + "/m"] = group.first[i];
      state[group.names[i] + "/v"] = group.second[i];
      state[group.names[i] + "/t"] = group.steps[i];
    }
  }
  return state;
}

void AdamW::load_state(const TensorMap& state) { copy_tensors(state, this->state(), "the optimizer's state"); }

int64_t AdamW::state_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : state()) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

double clip_gradients(const TensorMap& parameters, double limit) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients, norms;
  for (const auto& [name, parameter] : parameters) {
    if (!parameter.grad().defined()) continue;
    gradients.push_back(parameter.grad());
    norms.push_back(parameter.grad().to(torch::kFloat32).norm());
  }
  if (gradients.empty()) return 0.0;
  const double norm = torch::stack(norms).norm().item<double>();
  const double factor = limit / (norm + 1e-6);
  if (limit > 0.0 && factor < 1.0) {
    for (auto& gradient : gradients) gradient.mul_(factor);
  }
  return norm;
}

}  // namespace peftlab::train
