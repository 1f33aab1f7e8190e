#pragma once

/// \file
/// What the three stacks share. All names of members are the names of a checkpoint's tensors.

#include <peftlab/nn/activation.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>
#include <peftlab/nn/sublayer.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>

namespace peftlab::visualglm {

/// A module without parameters of its own, for a part of a dotted name.
std::shared_ptr<torch::nn::Module> group(torch::nn::Module& parent, const std::string& name);

/// Ends the registered name of the Sublayer that follows a linear map: "dense" -> "dense_sublayer". The site itself is
/// named after the map, see name_sites().
inline constexpr const char* kSublayerSuffix = "_sublayer";

/// Names every Sublayer below `model` after the linear map it follows, and every AttentionSite after its module.
void name_sites(torch::nn::Module& model);

/// dense_4h_to_h(gelu(dense_h_to_4h(x))), x [rows, width].
struct Mlp : torch::nn::Module {
  /// `gelu`: "gelu_new" (the language model) or "gelu" (vision), as activation() knows them.
  Mlp(int64_t width, int64_t inner, const char* gelu);

  torch::Tensor forward(const torch::Tensor& x, const SublayerContext& around) const;

  std::shared_ptr<Linear> dense_h_to_4h, dense_4h_to_h;
  std::shared_ptr<Sublayer> sublayer;
  Activation gelu;
};

/// Attention of every row to every row of its picture, as the vision transformer and the Q-Former have it; rows of the
/// weight of query_key_value are all q, all k, all v.
struct FullAttention : torch::nn::Module {
  FullAttention(int64_t width, int64_t heads);

  /// x [pictures * tokens, width] -> the same shape.
  torch::Tensor forward(const torch::Tensor& x, int64_t pictures, const SublayerContext& around) const;

  std::shared_ptr<Linear> query_key_value, dense;
  std::shared_ptr<Sublayer> sublayer;
  int64_t width, heads;
};

}  // namespace peftlab::visualglm
