#pragma once

/// \file
/// The two operations of oneDNN that LibTorch has under names of their own. Neither has a gradient.

#include <ATen/core/Tensor.h>

namespace peftlab {

/// x W^T + b: x [m, k], weight [n, k] as it is or as reordered() gave it, bias [n] or undefined -> [m, n]; float32.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// `weight` in the order that products of a few rows read it in.
at::Tensor reordered(const at::Tensor& weight);

}  // namespace peftlab
