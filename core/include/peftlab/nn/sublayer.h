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

/// What surrounds a sublayer's output, for methods that read more than the output itself.
struct SublayerContext {
  torch::Tensor input;     ///< what the sublayer was given, [rows, width]
  torch::Tensor residual;  ///< what its output will be added to, [rows, width]
  /// The normalization of that sum, in layers that normalize after it (BERT); empty in those that do so before (GPT-2).
  std::function<torch::Tensor(const torch::Tensor&)> norm = nullptr;
};

/// Passes h [rows, width] on, through what methods put there.
///
/// A site: the model names it after the linear map it follows ("transformer.layers.0.attention.dense").
class PEFTLAB_API Sublayer : public torch::nn::Module {
 public:
  using Hook = std::function<torch::Tensor(const torch::Tensor& h, const SublayerContext& around)>;

  /// Which of a layer's two sublayers it ends.
  enum class Position { attention, feed_forward };

  Sublayer(int64_t width, Position position) : width(width), position(position) {}

  torch::Tensor forward(torch::Tensor h, const SublayerContext& around) const;
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
