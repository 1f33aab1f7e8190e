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
/// On any CPU, without autograd and for a few rows, as generating text asks for over and over, a large weight that is met
/// again and again is put once into the order that the product reads it in (of oneDNN), which takes as much memory again.
/// That copy goes when the weight goes or changes, and is not made where memory is short.
///
/// Each way rounds otherwise; which is taken does not depend on chance. Threads: any.
PEFTLAB_API torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias = {});

}  // namespace peftlab
