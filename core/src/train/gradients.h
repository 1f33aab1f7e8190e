#pragma once

/// \file
/// What is done to gradients before a step.

#include <peftlab/model.h>

namespace peftlab::train {

/// Gradients that backward() left as rows (TableGradientsAsRows) become ordinary ones.
void make_dense(const TensorMap& parameters);

struct Clipping {
  double norm = 0.0;    ///< the common 2-norm of the gradients, as they are
  double factor = 1.0;  ///< what to multiply them with so that it is at most the limit
};

/// As torch.nn.utils.clip_grad_norm_ clips: the factor is limit / (norm + 1e-6), at most 1. limit 0: no clipping.
/// The gradients are only read: Optimizer::step() multiplies them, on a way over them that it has to go anyhow.
Clipping clipping(const TensorMap& parameters, double limit);

}  // namespace peftlab::train
