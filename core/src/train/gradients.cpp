#include "train/gradients.h"

#include <algorithm>
#include <vector>

namespace peftlab::train {

void make_dense(const TensorMap& parameters) {
  const torch::NoGradGuard no_grad;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined() && parameter.grad().is_sparse()) {
      parameter.mutable_grad() = parameter.grad().to_dense();
    }
  }
}

Clipping clipping(const TensorMap& parameters, double limit) {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> gradients;
  for (const auto& [name, parameter] : parameters) {
    if (parameter.grad().defined()) gradients.push_back(parameter.grad());
  }
  if (gradients.empty()) return {};
  const auto norms = at::_foreach_norm(gradients, 2, torch::kFloat32);
  const double norm = torch::stack(norms).norm().item<double>();
  return {norm, limit > 0.0 ? std::min(1.0, limit / (norm + 1e-6)) : 1.0};
}

}  // namespace peftlab::train
