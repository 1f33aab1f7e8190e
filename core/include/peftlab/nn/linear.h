#pragma once

/// \file
/// A linear map of a model: a place where a method may add to, scale or replace what is computed.

#include <peftlab/export.h>
#include <peftlab/nn/weight_storage.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// y = W x + b with W [out, in], extended by what methods hooked onto it.
///
/// It is a site: `name` is its path in the model ("transformer.layers.0.attention.query_key_value"), set by the model.
class PEFTLAB_API Linear : public torch::nn::Module {
 public:
  using Map = std::function<torch::Tensor(const torch::Tensor&)>;
  /// A hook is given the input [..., in] and the map as it was without this hook, and gives the output [..., out].
  using Hook = std::function<torch::Tensor(const torch::Tensor& x, const Map& next)>;

  /// Weights start as torch.nn.Linear's do: uniform within 1 / sqrt(in).
  Linear(int64_t in, int64_t out, bool with_bias = true);

  torch::Tensor forward(const torch::Tensor& x) const;

  /// The map without any hook.
  torch::Tensor base(const torch::Tensor& x) const;

  /// Puts `hook` around the map and the hooks that are there already.
  void extend(Hook hook);
  /// Takes all hooks off again.
  void restore();
  bool extended() const { return !hooks_.empty(); }

  /// W += delta, delta [out, in], added in float32 and rounded once to the weight's type. A quantized weight is a tensor
  /// from then on.
  void add_to_weight(const torch::Tensor& delta);

  /// W as real numbers, [out, in]: the parameter itself where it is of that type, else a copy.
  torch::Tensor weight_as(torch::ScalarType type) const;
  torch::ScalarType dtype() const;  ///< of the weight; of a quantized one, that of the model around it
  torch::Device device() const;

  /// As torch::nn::Module's. The codes of a quantized weight move, and keep their form.
  void to(torch::Device device, torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Dtype dtype, bool non_blocking = false) override;
  void to(torch::Device device, bool non_blocking = false) override;

  /// W in one of its two forms.
  struct Weight {
    torch::Tensor dense;                             ///< [out, in], or undefined
    std::shared_ptr<const WeightStorage> quantized;  ///< or empty
  };
  Weight weight_now() const { return {weight, quantized_}; }
  /// Puts another weight there. A quantized one is no parameter: `weight` is undefined then.
  void set_weight(Weight given);
  /// The quantized weight; empty where it is a tensor.
  const std::shared_ptr<const WeightStorage>& quantized() const { return quantized_; }

  std::string name;
  int64_t in, out;
  torch::Tensor weight;  ///< [out, in]; undefined where it is quantized
  torch::Tensor bias;    ///< [out], or undefined

 private:
  torch::Tensor apply(size_t hooks, const torch::Tensor& x) const;

  std::vector<Hook> hooks_;
  std::shared_ptr<const WeightStorage> quantized_;
  std::optional<torch::ScalarType> type_;  ///< dtype() while it is quantized, from the first time on
};

}  // namespace peftlab
