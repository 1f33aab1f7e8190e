#include "train/adamw.h"

#include <algorithm>

namespace peftlab::train {

AdamW::AdamW(const TensorMap& parameters, const Options& options) : Optimizer(parameters, options) {
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    first_.push_back(torch::zeros_like(slot.parameter));
    second_.push_back(torch::zeros_like(slot.parameter));
    const auto same = [&](const Group& group) {
      return group.weight_decay == slot.weight_decay && group.rate_factor == slot.rate_factor;
    };
    auto group = std::find_if(groups_.begin(), groups_.end(), same);
    if (group == groups_.end()) group = groups_.insert(group, {slot.weight_decay, slot.rate_factor, {}});
    group->slots.push_back(i);
  }
}

void AdamW::update(double learning_rate, double gradient_factor) {
  const torch::NoGradGuard no_grad;
  for (const Group& group : groups_) {
    std::vector<torch::Tensor> parameters, gradients, first, second, steps;
    for (const size_t i : group.slots) {
      const Slot& slot = slots_[i];
      if (!slot.parameter.grad().defined()) continue;
      parameters.push_back(slot.parameter);
      gradients.push_back(slot.parameter.grad());
      first.push_back(first_[i]);
      second.push_back(second_[i]);
      steps.push_back(slot.steps.add_(1));
    }
    if (parameters.empty()) continue;
    at::_fused_adamw_(parameters, gradients, first, second, {}, steps, learning_rate * group.rate_factor,
                      options_.beta1, options_.beta2, group.weight_decay, options_.epsilon, /*amsgrad=*/false,
                      /*maximize=*/false, gradient_divisor(gradient_factor, parameters.front().device()));
  }
}

TensorMap AdamW::state() const {
  TensorMap state;
  for (size_t i = 0; i < slots_.size(); ++i) {
    state[slots_[i].name + "/m"] = first_[i];
    state[slots_[i].name + "/v"] = second_[i];
    state[slots_[i].name + "/t"] = slots_[i].steps;
  }
  return state;
}

}  // namespace peftlab::train
