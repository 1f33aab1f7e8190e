#pragma once

/// \file
/// The operation of oneDNN that LibTorch has under a name of its own.

#include <ATen/core/Tensor.h>

namespace peftlab {

/// x W^T + b, without gradients: x [m, k], weight [n, k], bias [n] or undefined -> [m, n]; float32.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace peftlab
