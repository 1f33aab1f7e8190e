#pragma once

/// \file
/// float32 products on processors on which MKL, LibTorch's usual way, is not the quickest.

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab {

/// Whether oneDNN multiplies float32 matrices quicker here. MKL uses AVX-512 on Intel's processors alone; on a Zen 5, oneDNN
/// is 2.2 times as fast. Decided by what the processor is, never by a clock, so that a run can be repeated to the bit;
/// PEFTLAB_CPU below avx512 leaves it to MKL.
PEFTLAB_API bool onednn_is_quicker();

/// Whether matrix_product(a, b) or linear(x, weight) would go to oneDNN: float32 on a CPU, large enough, no autocast.
PEFTLAB_API bool goes_to_onednn(const at::Tensor& a, const at::Tensor& b);

/// a b: a [m, k], b [k, n], also transposed views -> [m, n]. at::mm where it does not go to oneDNN, and where autograd
/// follows.
PEFTLAB_API at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b);

/// x W^T + b by oneDNN, with gradients: x [..., in], weight [out, in], bias [out] or undefined.
PEFTLAB_API at::Tensor linear_by_onednn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

}  // namespace peftlab
