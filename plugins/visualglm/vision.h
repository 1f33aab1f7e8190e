#pragma once

/// \file
/// From a picture to vectors among the words: EVA-CLIP's vision transformer, BLIP-2's Q-Former, and a linear map to the
/// width of the language model.
///
/// Sources: Fang et al., "EVA", 2022, arXiv:2211.07636; Li et al., "BLIP-2", 2023, arXiv:2301.12597.

#include "blocks.h"
#include "config.h"

#include <peftlab/nn/embedding.h>

#include <memory>
#include <vector>

namespace peftlab::visualglm {

/// Pixels to patches, a convolution whose stride is its size: weight [width, 3, patch, patch].
struct PatchProjection : torch::nn::Module {
  explicit PatchProjection(const VisionConfig& config);

  /// [pictures, 3, height, width] -> [pictures, patches, width], patches row by row.
  torch::Tensor forward(const torch::Tensor& images) const;

  torch::Tensor weight, bias;
};

/// x += attention(LN(x)); x += mlp(LN(x)).
struct VisionLayer : torch::nn::Module {
  explicit VisionLayer(const VisionConfig& config);
  torch::Tensor forward(const torch::Tensor& x, int64_t pictures) const;

  std::shared_ptr<LayerNorm> input_layernorm, post_attention_layernorm;
  std::shared_ptr<FullAttention> attention;
  std::shared_ptr<Mlp> mlp;
};

/// "vit" of the checkpoint.
struct VisionTransformer : torch::nn::Module {
  explicit VisionTransformer(const VisionConfig& config);

  /// [pictures, 3, height, width] -> [pictures, 1 + patches, width], normalized by ln_vision; the class token is first.
  torch::Tensor forward(const torch::Tensor& images) const;

  std::shared_ptr<PatchProjection> proj;
  std::shared_ptr<LayerNorm> ln_vision;
  std::shared_ptr<Embedding> word_embeddings;      ///< the class token, one row
  std::shared_ptr<Embedding> position_embeddings;  ///< of the class token and the patches
  std::vector<std::shared_ptr<VisionLayer>> layers;
};

/// The queries' attention to a picture's tokens. key_value: all k rows, then all v rows.
struct CrossAttention : torch::nn::Module {
  explicit CrossAttention(const QFormerConfig& config, int64_t vision_width);
  /// x [pictures * queries, width], seen [pictures, tokens, vision width].
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& seen) const;

  std::shared_ptr<Linear> query, key_value, dense;
  int64_t width, heads;
};

/// One layer of BERT, whose last normalization is the next layer's first:
/// a = LN(x); b = LN(a + attention(a)); where it sees the picture, b = LN(b + cross(b)); it gives b + mlp(b).
struct QFormerLayer : torch::nn::Module {
  QFormerLayer(const QFormerConfig& config, int64_t vision_width, bool crosses);
  torch::Tensor forward(const torch::Tensor& x, const torch::Tensor& seen) const;

  std::shared_ptr<LayerNorm> input_layernorm, post_attention_layernorm, post_cross_attention_layernorm;
  std::shared_ptr<FullAttention> attention;
  std::shared_ptr<CrossAttention> cross_attention;  ///< nullptr in the layers that have none
  std::shared_ptr<Mlp> mlp;
};

/// "qformer" of the checkpoint.
struct QFormer : torch::nn::Module {
  QFormer(const QFormerConfig& config, int64_t vision_width);

  /// seen [pictures, tokens, vision width] -> [pictures, queries, width].
  torch::Tensor forward(const torch::Tensor& seen) const;

  std::shared_ptr<Embedding> word_embeddings;  ///< the learned queries
  std::vector<std::shared_ptr<QFormerLayer>> layers;
  std::shared_ptr<LayerNorm> final_layernorm;
};

/// "image_encoder" of the checkpoint.
struct ImageEncoder : torch::nn::Module {
  ImageEncoder(const ImageConfig& config, int64_t language_width);

  /// [pictures, 3, height, width] -> [pictures, queries, language width].
  torch::Tensor forward(const torch::Tensor& images) const;

  std::shared_ptr<VisionTransformer> vit;
  std::shared_ptr<QFormer> qformer;
  std::shared_ptr<Linear> glm_proj;
};

}  // namespace peftlab::visualglm
