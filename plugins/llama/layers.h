#pragma once

/// \file
/// The layers that LLaMA, Mistral and Qwen2 share. All names of members are the names of a checkpoint's tensors.

#include "config.h"

#include <peftlab/batch.h>
#include <peftlab/nn/attention.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>
#include <peftlab/nn/rotary.h>
#include <peftlab/nn/sublayer.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::llama {

/// Causal attention with rotary positions, whose key/value heads each serve several attention heads in a row.
struct Attention : torch::nn::Module {
  /// `path`: the module's name in the model, after which its sites are named. `layer` counts from 0.
  Attention(const Config& config, int64_t layer, const std::string& path);

  /// x and residual [total, hidden] -> what is to be added to the residual; angles [total, head width] in x's type.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual, const RotaryAngles& angles,
                        const AttentionPlan& plan, KeyValueCache::Layer* cache) const;

  std::shared_ptr<Linear> q_proj, k_proj, v_proj, o_proj;
  std::shared_ptr<AttentionSite> site;
  std::shared_ptr<Sublayer> sublayer;
  int64_t window;
  double dropout;
};

/// down_proj(activation(gate_proj(x)) * up_proj(x)): Shazeer, 2020, arXiv:2002.05202.
struct Mlp : torch::nn::Module {
  Mlp(const Config& config, const std::string& path);

  /// x and residual [total, hidden] -> what is to be added to the residual.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual) const;

  std::shared_ptr<Linear> gate_proj, up_proj, down_proj;
  std::shared_ptr<Sublayer> sublayer;
  GatedActivation activation;
};

/// x += attention(norm(x)); x += mlp(norm(x)).
struct Layer : torch::nn::Module {
  Layer(const Config& config, int64_t number, const std::string& path);

  torch::Tensor forward(const torch::Tensor& x, const RotaryAngles& angles, const AttentionPlan& plan,
                        KeyValueCache::Layer* cache) const;

  std::shared_ptr<RmsNorm> input_layernorm, post_attention_layernorm;
  std::shared_ptr<Attention> self_attn;
  std::shared_ptr<Mlp> mlp;
};

/// "model" of the checkpoint.
struct Stack : torch::nn::Module {
  explicit Stack(const Config& config);

  /// tokens int64 [total] -> [total, hidden], normalized. See Model::hidden() for the cache; rows that methods put in
  /// front are gone from the result.
  torch::Tensor forward(const torch::Tensor& tokens, const Layout& layout, const torch::Tensor& asked,
                        KeyValueCache* cache) const;

  std::shared_ptr<Embedding> embed_tokens;
  std::shared_ptr<EmbeddingSite> embedding_site;
  std::vector<std::shared_ptr<Layer>> layers;
  std::shared_ptr<RmsNorm> norm;
  Rotary rotary;  ///< no buffer, so that casting the model leaves it alone
};

}  // namespace peftlab::llama
