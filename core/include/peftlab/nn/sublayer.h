#pragma once

/// \file
/// The output of a sublayer, before it is added to the residual stream: where a bottleneck adapter sits.

#include <peftlab/export.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace peftlab {

/// Passes h [rows, width] on, through what methods put there.
///
/// A site: the model names it after the linear map it follows ("transformer.layers.0.attention.dense").
class PEFTLAB_API Sublayer : public torch::nn::Module {
 public:
  using Hook = std::function<torch::Tensor(const torch::Tensor& h)>;

  /// Which of a layer's two sublayers it ends.
  enum class Position { attention, feed_forward };

  Sublayer(int64_t width, Position position) : width(width), position(position) {}

  torch::Tensor forward(torch::Tensor h) const;
  /// Hooks run in the order they were put there.
  void extend(Hook hook) { hooks_.push_back(std::move(hook)); }
  bool extended() const { return !hooks_.empty(); }

  std::string name;
  int64_t width;
  Position position;

 private:
  std::vector<Hook> hooks_;
};

}  // namespace peftlab
