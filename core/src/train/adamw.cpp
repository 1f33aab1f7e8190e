#include "train/adamw.h"

#include <map>
#include <utility>

namespace peftlab::train {

AdamW::AdamW(const TensorMap& parameters, const Options& options)
    : Optimizer(parameters, options), first_(slots_.size()), second_(slots_.size()) {
  std::map<std::pair<double, double>, std::vector<size_t>> slots;  // by weight decay and factor on the learning rate
  for (size_t i = 0; i < slots_.size(); ++i) slots[{slots_[i].weight_decay, slots_[i].rate_factor}].push_back(i);
  for (auto& [rule, same] : slots) {
    std::vector<torch::Tensor> tensors;
    for (const size_t i : same) tensors.push_back(slots_[i].parameter);
    Group group{rule.first, rule.second, std::move(same), FlatParameters(tensors)};
    add(std::move(group));
  }
}

/// Gives its slots their moments.
void AdamW::add(Group group) {
  std::vector<bool> is_flat(group.slots.size());
  for (const size_t at : group.flat.moved()) is_flat[at] = true;
  for (size_t at = 0; at < group.slots.size(); ++at) {
    if (is_flat[at]) continue;
    const size_t i = group.slots[at];
    group.apart.push_back(i);
    first_[i] = torch::zeros_like(slots_[i].parameter);
    second_[i] = torch::zeros_like(slots_[i].parameter);
  }
  if (const torch::Tensor& values = group.flat.values(); values.defined()) {
    group.first = torch::zeros_like(values);
    group.second = torch::zeros_like(values);
    const auto first = group.flat.parts_of(group.first), second = group.flat.parts_of(group.second);
    group.steps = torch::zeros({static_cast<int64_t>(first.size())}, values.options().dtype(torch::kFloat32));
    for (size_t k = 0; k < first.size(); ++k) {
      const size_t i = group.slots[group.flat.moved()[k]];
      first_[i] = first[k];
      second_[i] = second[k];
      slots_[i].steps = group.steps[static_cast<int64_t>(k)];
    }
  }
  groups_.push_back(std::move(group));
}

void AdamW::loaded() {
  for (Group& group : groups_) {
    if (group.steps.defined()) group.goes_together = group.steps.eq(group.steps[0]).all().item<bool>();
  }
}

void AdamW::update(double learning_rate, double gradient_factor) {
  const torch::NoGradGuard no_grad;
  for (Group& group : groups_) {
    const bool together = update_together(group, learning_rate, gradient_factor);
    update_each(group, together ? group.apart : group.slots, learning_rate, gradient_factor);
  }
}

bool AdamW::update_together(Group& group, double learning_rate, double gradient_factor) {
  if (!group.flat.values().defined() || !group.goes_together) return false;
  const torch::Tensor gradients = group.flat.gradients();
  group.goes_together = gradients.defined();
  if (!group.goes_together) return false;
  group.steps.add_(1);
  apply(group, {{group.flat.values()}, {gradients}, {group.first}, {group.second}, {group.steps[0]}}, learning_rate,
        gradient_factor);
  return true;
}

void AdamW::update_each(const Group& group, const std::vector<size_t>& slots, double learning_rate,
                        double gradient_factor) {
  Tensors tensors;
  for (const size_t i : slots) {
    const Slot& slot = slots_[i];
    if (!slot.parameter.grad().defined()) continue;
    tensors.parameters.push_back(slot.parameter);
    tensors.gradients.push_back(slot.parameter.grad());
    tensors.first.push_back(first_[i]);
    tensors.second.push_back(second_[i]);
    tensors.steps.push_back(slot.steps.add_(1));
  }
  if (!tensors.parameters.empty()) apply(group, tensors, learning_rate, gradient_factor);
}

void AdamW::apply(const Group& group, const Tensors& tensors, double learning_rate, double gradient_factor) const {
  at::_fused_adamw_(tensors.parameters, tensors.gradients, tensors.first, tensors.second, {}, tensors.steps,
                    learning_rate * group.rate_factor, options_.beta1, options_.beta2, group.weight_decay,
                    options_.epsilon, /*amsgrad=*/false, /*maximize=*/false,
                    gradient_divisor(gradient_factor, tensors.parameters.front().device()));
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
