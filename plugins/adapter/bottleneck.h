#pragma once

/// \file
/// The bottleneck at one site: what is trained, how it starts and what it computes.

#include "options.h"

#include <peftlab/nn/linear.h>
#include <peftlab/nn/sublayer.h>

#include <torch/nn/module.h>

#include <memory>

namespace peftlab::adapter {

/// s U f(D x + b_D) + b_U and what surrounds it. Its numbers are float32 whatever the base's type.
class Bottleneck : public torch::nn::Module {
 public:
  /// Draws its first values in the order of `adapters`, from torch's generator.
  Bottleneck(const Sublayer& site, const Options& options);

  /// h [..., d], the sublayer's output -> what takes its place, [..., d], in h's type.
  torch::Tensor forward(const torch::Tensor& h, const SublayerContext& around) const;

  std::shared_ptr<Linear> down;  ///< [m, d]
  std::shared_ptr<Linear> up;    ///< [d, m]

 private:
  /// What the down map reads, in the base's type.
  torch::Tensor input(const torch::Tensor& h, const SublayerContext& around) const;

  Kind kind_;
  double scale_;
  Activation nonlinearity_;
};

}  // namespace peftlab::adapter
