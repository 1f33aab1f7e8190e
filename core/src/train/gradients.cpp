#include "train/gradients.h"

#include <vector>

namespace peftlab::train {

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
