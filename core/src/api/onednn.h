#pragma once

/// \file
/// The operations of oneDNN that LibTorch has under names of their own.

#include <ATen/core/Tensor.h>

namespace peftlab {

/// x W^T + b, without gradients: x [m, k], weight [n, k] or what onednn_packed() made of it, bias [n] or undefined -> [m, n];
/// all float32, or all bfloat16.
at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

/// The weight in the order in which onednn_linear() multiplies it quickest, with any number of rows: a tensor for it alone.
at::Tensor onednn_packed(const at::Tensor& weight);

/// a b, without gradients: a [m, k], b [k, n], each also a transposed view, which is read where it lies -> [m, n], float32.
at::Tensor onednn_matmul(const at::Tensor& a, const at::Tensor& b);

}  // namespace peftlab
