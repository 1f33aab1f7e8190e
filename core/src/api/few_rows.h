#pragma once

/// \file
/// float32 products of a few rows. They cost what reading the weight costs; LibTorch's libraries first bring it into the
/// order in which their kernels for many rows read it, at every call, which takes longer than the rest.

#include <torch/types.h>

namespace peftlab {

/// Whether product_of_few_rows() can, and is quicker than LibTorch's libraries: x [..., in] and weight [out, in] or its
/// transpose's view are float32 on a CPU, x has few rows, the weight is large and neither side of it short, as those of LoRA's
/// matrices are. (For bfloat16 there is packed_weights.h.)
bool is_of_few_rows(const at::Tensor& x, const at::Tensor& weight);

/// x W^T + bias, without gradients.
at::Tensor product_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace peftlab
