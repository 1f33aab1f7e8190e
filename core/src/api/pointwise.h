#pragma once

/// \file
/// Functions of single numbers and of rows in one pass each, with gradients. What the kernels do not know (GPUs, other
/// types, few numbers) is left to LibTorch's operations. A gradient of a gradient is refused.

#include "kernels/pointwise.h"

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab {

/// f(x), number by number.
PEFTLAB_API torch::Tensor curve_of(Curve f, const torch::Tensor& x);

/// y + more in the type of y, rounded once: tensors of one shape, of which `more` may have a wider type.
PEFTLAB_API torch::Tensor sum_in_type(const torch::Tensor& y, const torch::Tensor& more);

/// silu(gate) * up of tensors of one shape.
PEFTLAB_API torch::Tensor silu_times(const torch::Tensor& gate, const torch::Tensor& up);

/// weight * x / sqrt(mean(x^2) + eps): x [..., width], weight [width].
PEFTLAB_API torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& weight, double eps);

/// x [rows, heads, ..., width] with pairs (i, i + width / 2) turned by angles of these cosines and sines, [rows, ...,
/// width], in which the first half is repeated in the second.
PEFTLAB_API torch::Tensor turned(const torch::Tensor& x, const torch::Tensor& cosines, const torch::Tensor& sines);

/// -log softmax(logits)[label] of each row, float32 [rows]: logits [rows, classes], labels int64 [rows].
PEFTLAB_API torch::Tensor row_losses(const torch::Tensor& logits, const torch::Tensor& labels);

}  // namespace peftlab
