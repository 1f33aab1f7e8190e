#pragma once

/// \file
/// Loss scaling for fp16 (Micikevicius et al., 2018, arXiv:1710.03740), with the rules and numbers of PyTorch's GradScaler.

#include <peftlab/model.h>

namespace peftlab::train {

/// The loss is multiplied by scale() before the backward pass; unscale() undoes it on the gradients. A step whose
/// gradients are not all finite is skipped and halves the scale; 2,000 good steps in a row double it.
class LossScaler {
 public:
  /// `enabled` false: the scale is 1 and never changes.
  explicit LossScaler(bool enabled) : enabled_(enabled), scale_(enabled ? 65536.0 : 1.0) {}

  double scale() const { return scale_; }
  /// Divides the gradients by the scale. False if one of them is not finite (only looked at when enabled).
  bool unscale(const TensorMap& parameters) const;
  /// Takes note of how the step went. Returns false once the scale has fallen below 1: nothing can be trained then.
  bool update(bool finite);

  int64_t good_steps() const { return good_steps_; }
  void restore(double scale, int64_t good_steps) {
    scale_ = scale;
    good_steps_ = good_steps;
  }

 private:
  bool enabled_;
  double scale_;
  int64_t good_steps_ = 0;
};

}  // namespace peftlab::train
