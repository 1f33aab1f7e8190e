#include "train/flat_parameters.h"

#include <torch/torch.h>

namespace peftlab::train {
namespace {

bool can_be_moved(const torch::Tensor& parameter) {
  return parameter.numel() <= FlatParameters::kMostNumbers && parameter.is_contiguous() &&
         parameter.nbytes() % FlatParameters::kBlock == 0 && parameter.storage().use_count() == 1;
}

}  // namespace

FlatParameters::FlatParameters(const std::vector<torch::Tensor>& parameters) {
  const torch::NoGradGuard no_grad;
  int64_t numbers = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const torch::Tensor& parameter = parameters[i];
    if (!can_be_moved(parameter)) continue;
    if (!parameters_.empty() && !parameter.options().type_equal(parameters_.front().options())) continue;
    moved_.push_back(i);
    parameters_.push_back(parameter);
    numbers += parameter.numel();
  }
  if (numbers == 0) {
    moved_.clear();
    parameters_.clear();
    return;
  }
  values_ = torch::empty({numbers}, parameters_.front().options().requires_grad(false));
  gradients_ = torch::empty_like(values_);
  gradient_parts_ = parts_of(gradients_);
  const auto parts = parts_of(values_);
  for (size_t i = 0; i < parts.size(); ++i) {
    parts[i].copy_(parameters_[i]);
    parameters_[i].set_data(parts[i]);
  }
}

std::vector<torch::Tensor> FlatParameters::parts_of(const torch::Tensor& flat) const {
  std::vector<torch::Tensor> parts;
  int64_t at = 0;
  for (const torch::Tensor& parameter : parameters_) {
    parts.push_back(flat.narrow(0, at, parameter.numel()).view(parameter.sizes()));
    at += parameter.numel();
  }
  return parts;
}

torch::Tensor FlatParameters::gradients() {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> found;
  const char* expected = static_cast<const char*>(values_.const_data_ptr());
  for (const torch::Tensor& parameter : parameters_) {
    if (!parameter.grad().defined() || parameter.const_data_ptr() != expected) return {};
    found.push_back(parameter.grad().reshape(-1));
    expected += parameter.nbytes();
  }
  torch::cat_out(gradients_, found);
  for (size_t i = 0; i < parameters_.size(); ++i) parameters_[i].mutable_grad() = gradient_parts_[i];
  return gradients_;
}

}  // namespace peftlab::train
