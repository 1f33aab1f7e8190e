#pragma once

/// \file
/// What is done to gradients before a step.

#include <peftlab/model.h>

namespace peftlab::train {

/// Scales the gradients so that their common 2-norm is at most `limit` (torch.nn.utils.clip_grad_norm_: the factor is
/// limit / (norm + 1e-6), at most 1) and returns the norm before. limit 0: only the norm is computed.
double clip_gradients(const TensorMap& parameters, double limit);

}  // namespace peftlab::train
