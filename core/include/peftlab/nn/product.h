#pragma once

/// \file
/// The product with a weight by the quickest way there is on this processor.

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab {

/// x W^T + b: x [..., in], weight [out, in], bias [out] or undefined -> [..., out], with gradients. torch::linear, but for this:
///
/// On a CPU that MKL has no AVX-512 for, products in float32 are oneDNN's.
///
/// On any CPU, without autograd and for at most 48 rows in float32, a large weight is read once, where it lies, in either
/// order, by a kernel of our own (docs/decisions/0013).
///
/// While a command generates, on a CPU with AVX512-BF16, frozen weights in bfloat16 are read in oneDNN's order by products of at
/// most 64 rows.
///
/// Each way rounds otherwise; which is taken does not depend on chance. Threads: any.
PEFTLAB_API torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias = {});

}  // namespace peftlab
