#pragma once

/// \file
/// Normalization over the last dimension.

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

/// y = x / sqrt(mean(x^2) + eps) * weight over the last dimension, computed in float32 and rounded to x's type before
/// the weight, as LLaMA does. Source: Zhang and Sennrich, 2019, arXiv:1910.07467.
class PEFTLAB_API RmsNorm : public torch::nn::Module {
 public:
  RmsNorm(int64_t width, double eps);

  torch::Tensor forward(const torch::Tensor& x) const;

  torch::Tensor weight;  ///< [width], ones at first
  double eps;
};

}  // namespace peftlab
