#pragma once

/// \file
/// Prompts at every layer: keys and values before those of the model's own, all of them parts of one tensor.

#include <peftlab/export.h>
#include <peftlab/model.h>

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// The sizes of P [tokens, 2 layers width], whose columns are, layer after layer, that layer's keys and its values.
struct DeepPromptShape {
  int64_t tokens = 0, layers = 0, kv_heads = 0, head_width = 0;

  int64_t width() const { return kv_heads * head_width; }  ///< of a layer's keys, and of its values
  int64_t columns() const { return 2 * layers * width(); }
};

/// The shape that `model` wants. Throws: UnsupportedError, in the name of `plugin`, if the model offers no attention, or
/// layers whose keys differ.
PEFTLAB_API DeepPromptShape deep_prompt_shape(Model& model, int64_t tokens, const std::string& plugin);

/// P, computed once a forward pass for all layers. The hooks it leaves own it.
class PEFTLAB_API DeepPrompt {
 public:
  using Compute = std::function<torch::Tensor()>;

  /// P itself is trained.
  explicit DeepPrompt(torch::Tensor prompt);
  /// `compute` gives P from `parameters` alone.
  DeepPrompt(Compute compute, std::vector<torch::Tensor> parameters);

  /// P as it is saved, [tokens, columns].
  torch::Tensor compute() const { return compute_(); }
  /// The parameter P is from now on, whatever it came from before.
  void become(torch::Tensor prompt);

  /// Puts the rows of `prompt` before those of every layer of `model`; positions are taken as `take_positions`
  /// says, or else the model's facts. `finish` is applied to a layer's keys and values at each pass (dropout).
  static void attach(const std::shared_ptr<DeepPrompt>& prompt, Model& model, const DeepPromptShape& shape,
                     std::function<torch::Tensor(const torch::Tensor&)> finish = nullptr,
                     std::optional<bool> take_positions = std::nullopt);

 private:
  using State = std::vector<int64_t>;
  torch::Tensor rows(int64_t layer);
  State state() const;

  Compute compute_;
  std::vector<torch::Tensor> parameters_;  ///< empty where P is itself one
  torch::Tensor kept_;
  State kept_state_;
};

}  // namespace peftlab
