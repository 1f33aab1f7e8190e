#pragma once

/// \file
/// The ChatGLM language model: layers whose residual is the normalized input times alpha, two-dimensional rotary
/// positions, a prompt that sees all of itself and an answer that sees what came before.

#include "blocks.h"
#include "config.h"

#include <peftlab/batch.h>
#include <peftlab/nn/attention.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/rotary.h>

#include <memory>
#include <vector>

namespace peftlab::visualglm {

/// The two position numbers of each packed row, int64 [total] each.
///
/// With c = context = index of <sop>: the first counts 0 .. c - 1 and stays at c - 1 ([gMASK]'s); the second is 0 up to
/// there and counts 1, 2, 3, ... from index c on.
struct Positions {
  torch::Tensor in_prompt, in_answer;

  /// `cache`: where the rows continue a filled cache, one a sequence; else nullptr.
  static Positions of(const Layout& layout, const KeyValueCache* cache);
};

struct GlmAttention : torch::nn::Module {
  explicit GlmAttention(const LanguageConfig& config);

  /// x and residual [total, hidden] -> what is to be added to the residual; angles [total, 2, head width / 2]: of the
  /// two halves of a head.
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& residual, const RotaryAngles& angles,
                        const AttentionPlan& plan, KeyValueCache::Layer* cache) const;

  std::shared_ptr<Linear> query_key_value, dense;
  std::shared_ptr<AttentionSite> site;
  std::shared_ptr<Sublayer> sublayer;
  int64_t heads, head_width;
  bool per_head;
};

/// With a = LN(x), h = alpha a + attention(a), m = LN(h), the layer gives alpha m + mlp(m).
struct GlmLayer : torch::nn::Module {
  explicit GlmLayer(const LanguageConfig& config);

  torch::Tensor forward(const torch::Tensor& x, const RotaryAngles& angles, const AttentionPlan& plan,
                        KeyValueCache::Layer* cache) const;

  std::shared_ptr<LayerNorm> input_layernorm, post_attention_layernorm;
  std::shared_ptr<GlmAttention> attention;
  std::shared_ptr<Mlp> mlp;
  double alpha;
};

/// "transformer" of the checkpoint.
struct LanguageModel : torch::nn::Module {
  explicit LanguageModel(const LanguageConfig& config);

  /// embedded [total, hidden] -> the same rows after all layers, normalized. See Model::hidden() for the cache; rows
  /// that methods put in front are gone from the result.
  torch::Tensor forward(const torch::Tensor& embedded, const Layout& layout, const torch::Tensor& asked,
                        KeyValueCache* cache) const;

  std::shared_ptr<Embedding> word_embeddings;
  std::shared_ptr<EmbeddingSite> embedding_site;
  std::vector<std::shared_ptr<GlmLayer>> layers;
  std::shared_ptr<LayerNorm> final_layernorm;
  /// float32 [head width / 4], on the CPU; no buffer, so that casting the model leaves it alone.
  torch::Tensor frequencies;
};

}  // namespace peftlab::visualglm
