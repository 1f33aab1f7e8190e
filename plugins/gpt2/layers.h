#pragma once

/// \file
/// The layers of GPT-2. All names of members are the names of a checkpoint's tensors.

#include "config.h"

#include <peftlab/batch.h>
#include <peftlab/nn/attention.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>
#include <peftlab/nn/sublayer.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::gpt2 {

/// Causal attention of every row to its sequence. The rows of c_attn's weight are all q, all k, all v.
struct Attention : torch::nn::Module {
  /// `path`: the module's name in the model, after which its sites are named. `layer` counts from 0.
  Attention(const Config& config, int64_t layer, const std::string& path);

  /// x and residual [total, hidden] -> what is to be added to the residual.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual, const AttentionPlan& plan,
                        KeyValueCache::Layer* cache) const;

  std::shared_ptr<Linear> c_attn, c_proj;
  std::shared_ptr<AttentionSite> site;
  std::shared_ptr<Sublayer> sublayer;
  double scale, attention_dropout, residual_dropout;
};

/// c_proj(activation(c_fc(x))).
struct Mlp : torch::nn::Module {
  Mlp(const Config& config, const std::string& path);

  /// x and residual [total, hidden] -> what is to be added to the residual.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual) const;

  std::shared_ptr<Linear> c_fc, c_proj;
  std::shared_ptr<Sublayer> sublayer;
  Activation activation;
  double dropout;
};

/// x += attention(LN(x)); x += mlp(LN(x)).
struct Block : torch::nn::Module {
  Block(const Config& config, int64_t layer, const std::string& path);

  torch::Tensor forward(const torch::Tensor& x, const AttentionPlan& plan, KeyValueCache::Layer* cache) const;

  std::shared_ptr<LayerNorm> ln_1, ln_2;
  std::shared_ptr<Attention> attn;
  std::shared_ptr<Mlp> mlp;
};

/// "transformer" of the checkpoint.
struct Stack : torch::nn::Module {
  explicit Stack(const Config& config);

  /// tokens int64 [total] -> [total, hidden], normalized. See Model::hidden() for the cache; rows that methods put in
  /// front are gone from the result.
  /// Throws: ConfigError for a sequence that is longer than the table of positions.
  torch::Tensor forward(const torch::Tensor& tokens, const Layout& layout, const torch::Tensor& asked,
                        KeyValueCache* cache) const;

  std::shared_ptr<Embedding> wte, wpe;
  std::shared_ptr<EmbeddingSite> embedding_site;
  std::vector<std::shared_ptr<Block>> blocks;
  std::shared_ptr<LayerNorm> ln_f;
  double dropout;
};

}  // namespace peftlab::gpt2
