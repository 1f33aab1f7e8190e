#pragma once

/// \file
/// Layer normalization with weight and bias.

#include <peftlab/export.h>

#include <torch/nn/module.h>
#include <torch/types.h>

namespace peftlab {

/// y = (x - mean) / sqrt(var + eps) * weight + bias over the last dimension.
class PEFTLAB_API LayerNorm : public torch::nn::Module {
 public:
  LayerNorm(int64_t width, double eps);

  torch::Tensor forward(const torch::Tensor& x) const;

  torch::Tensor weight;  ///< [width], ones at first
  torch::Tensor bias;    ///< [width], zeros at first
  double eps;
};

}  // namespace peftlab
