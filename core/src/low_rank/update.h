#pragma once

/// \file
/// What a low-rank branch adds, as one function for autograd.

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab::low_rank {

/// s B A x: x [..., in], A [r, in], B [out, r] -> [..., out] in the type of A and B, which may be wider than that of x.
/// The backward pass finds x as it came and A x: no copy of x in the wider type is kept.
PEFTLAB_API torch::Tensor update_of(const torch::Tensor& x, const torch::Tensor& a, const torch::Tensor& b, double s);

}  // namespace peftlab::low_rank
