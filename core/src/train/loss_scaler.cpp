#include "train/loss_scaler.h"

namespace peftlab::train {

bool LossScaler::unscale(const TensorMap& parameters) const {
  if (!enabled_) return true;
  const torch::NoGradGuard no_grad;
  bool finite = true;
  for (const auto& [name, parameter] : parameters) {
    if (!parameter.grad().defined()) continue;
    parameter.grad().mul_(1.0 / scale_);
    finite = finite && torch::isfinite(parameter.grad()).all().item<bool>();
  }
  return finite;
}

bool LossScaler::update(bool finite) {
  if (!enabled_) return true;
  if (!finite) {
    scale_ *= 0.5;
    good_steps_ = 0;
  } else if (++good_steps_ == 2000) {
    scale_ *= 2.0;
    good_steps_ = 0;
  }
  return scale_ >= 1.0;
}

}  // namespace peftlab::train
