#include "vision.h"

#include <peftlab/nn/attention.h>
#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/first_values.h>

namespace peftlab::visualglm {
namespace {

constexpr double kVisionNormEps = 1e-5;  // of ln_vision, whatever the blocks have

}  // namespace

PatchProjection::PatchProjection(const VisionConfig& config) {
  weight = register_parameter("weight", empty_parameter({config.hidden, 3, config.patch, config.patch}));
  bias = register_parameter("bias", torch::zeros({config.hidden}));
}

torch::Tensor PatchProjection::forward(const torch::Tensor& images) const {
  const int64_t patch = weight.size(2);
  return torch::conv2d(images.to(weight.scalar_type()), weight, bias, patch).flatten(2).transpose(1, 2);
}

VisionLayer::VisionLayer(const VisionConfig& config) {
  input_layernorm = register_module("input_layernorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
  attention = register_module("attention", std::make_shared<FullAttention>(config.hidden, config.heads));
  post_attention_layernorm =
      register_module("post_attention_layernorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
  mlp = register_module("mlp", std::make_shared<Mlp>(config.hidden, config.inner, "gelu"));
}

torch::Tensor VisionLayer::forward(const torch::Tensor& x, int64_t pictures) const {
  const auto a = input_layernorm->forward(x);
  const auto h = x + attention->forward(a, pictures, {a, x});
  const auto m = post_attention_layernorm->forward(h);
  return h + mlp->forward(m, {m, h});
}

VisionTransformer::VisionTransformer(const VisionConfig& config) {
  const auto mixins = group(*this, "mixins");
  proj = group(*mixins, "patch_embedding")->register_module("proj", std::make_shared<PatchProjection>(config));
  ln_vision =
      group(*mixins, "cls")->register_module("ln_vision", std::make_shared<LayerNorm>(config.hidden, kVisionNormEps));
  const auto transformer = group(*this, "transformer");
  word_embeddings = transformer->register_module("word_embeddings", std::make_shared<Embedding>(1, config.hidden));
  position_embeddings = transformer->register_module("position_embeddings",
                                                     std::make_shared<Embedding>(1 + config.patches(), config.hidden));
  const auto list = group(*transformer, "layers");
  for (int64_t i = 0; i < config.layers; ++i) {
    layers.push_back(list->register_module(std::to_string(i), std::make_shared<VisionLayer>(config)));
  }
}

torch::Tensor VisionTransformer::forward(const torch::Tensor& images) const {
  const int64_t pictures = images.size(0), tokens = position_embeddings->weight.size(0);
  const auto patches = proj->forward(images);
  const auto first = word_embeddings->weight.unsqueeze(0).expand({pictures, -1, -1});
  auto x = (torch::cat({first, patches.to(first.scalar_type())}, 1) + position_embeddings->weight).flatten(0, 1);
  for (const auto& layer : layers) {
    x = checkpointed(x, [layer, pictures](const torch::Tensor& given) { return layer->forward(given, pictures); });
  }
  return ln_vision->forward(x).view({pictures, tokens, -1});
}

CrossAttention::CrossAttention(const QFormerConfig& config, int64_t vision_width)
    : width(config.hidden), heads(config.heads) {
  query = register_module("query", std::make_shared<Linear>(width, width));
  key_value = register_module("key_value", std::make_shared<Linear>(vision_width, 2 * width));
  dense = register_module("dense", std::make_shared<Linear>(width, width));
}

torch::Tensor CrossAttention::forward(const torch::Tensor& x, const torch::Tensor& seen) const {
  const auto q = query->forward(x).view({seen.size(0), -1, width});
  const auto kv = key_value->forward(seen).chunk(2, -1);
  return dense->forward(attend_all(q, kv[0], kv[1], heads).view({-1, width}));
}

QFormerLayer::QFormerLayer(const QFormerConfig& config, int64_t vision_width, bool crosses) {
  const auto norm = [&](const std::string& name) {
    return register_module(name, std::make_shared<LayerNorm>(config.hidden, config.eps));
  };
  input_layernorm = norm("input_layernorm");
  attention = register_module("attention", std::make_shared<FullAttention>(config.hidden, config.heads));
  post_attention_layernorm = norm("post_attention_layernorm");
  if (crosses) {
    cross_attention = register_module("cross_attention", std::make_shared<CrossAttention>(config, vision_width));
    post_cross_attention_layernorm = norm("post_cross_attention_layernorm");
  }
  mlp = register_module("mlp", std::make_shared<Mlp>(config.hidden, config.inner, "gelu"));
}

torch::Tensor QFormerLayer::forward(const torch::Tensor& x, const torch::Tensor& seen) const {
  const auto a = input_layernorm->forward(x);
  const auto normed = [this](const torch::Tensor& sum) { return post_attention_layernorm->forward(sum); };
  auto b = normed(a + attention->forward(a, seen.size(0), {a, a, normed}));
  if (cross_attention) b = post_cross_attention_layernorm->forward(b + cross_attention->forward(b, seen));
  // This sum is normalized too, but by the next layer.
  return b + mlp->forward(b, {b, b});
}

QFormer::QFormer(const QFormerConfig& config, int64_t vision_width) {
  const auto transformer = group(*this, "transformer");
  word_embeddings =
      transformer->register_module("word_embeddings", std::make_shared<Embedding>(config.queries, config.hidden));
  const auto list = group(*transformer, "layers");
  for (int64_t i = 0; i < config.layers; ++i) {
    layers.push_back(list->register_module(std::to_string(i),
                                           std::make_shared<QFormerLayer>(config, vision_width, config.crosses[i])));
  }
  final_layernorm =
      transformer->register_module("final_layernorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
}

torch::Tensor QFormer::forward(const torch::Tensor& seen) const {
  const int64_t pictures = seen.size(0);
  const auto& queries = word_embeddings->weight;
  auto x = queries.repeat({pictures, 1});
  for (const auto& layer : layers) {
    x = checkpointed(x, [layer, seen](const torch::Tensor& given) { return layer->forward(given, seen); });
  }
  return final_layernorm->forward(x).view({pictures, queries.size(0), -1});
}

ImageEncoder::ImageEncoder(const ImageConfig& config, int64_t language_width) {
  vit = register_module("vit", std::make_shared<VisionTransformer>(config.vision));
  qformer = register_module("qformer", std::make_shared<QFormer>(config.qformer, config.vision.hidden));
  glm_proj = register_module("glm_proj", std::make_shared<Linear>(config.qformer.hidden, language_width));
}

torch::Tensor ImageEncoder::forward(const torch::Tensor& images) const {
  return glm_proj->forward(qformer->forward(vit->forward(images)));
}

}  // namespace peftlab::visualglm
