#include "language.h"

#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/to_device.h>

#include <algorithm>
#include <cmath>

namespace peftlab::visualglm {

Positions Positions::of(const Layout& layout, const KeyValueCache* cache) {
  std::vector<int64_t> in_prompt, in_answer;
  for (int64_t s = 0; s < layout.sequences(); ++s) {
    const int64_t context = cache ? cache->context[s] : layout.context[s];
    const int64_t first = cache ? cache->seen[s] : 0;
    for (int64_t i = first; i < first + layout.length(s); ++i) {
      in_prompt.push_back(std::max<int64_t>(std::min(i, context - 1), 0));
      in_answer.push_back(std::max<int64_t>(i - context + 1, 0));
    }
  }
  return {torch::tensor(in_prompt, torch::kInt64), torch::tensor(in_answer, torch::kInt64)};
}

GlmAttention::GlmAttention(const LanguageConfig& config)
    : heads(config.heads), head_width(config.head_width()), per_head(config.per_head) {
  query_key_value = register_module("query_key_value", std::make_shared<Linear>(config.hidden, 3 * config.hidden));
  site = register_module("site", std::make_shared<AttentionSite>(heads, heads, head_width));
  dense = register_module("dense", std::make_shared<Linear>(config.hidden, config.hidden));
  sublayer = register_module(std::string("dense") + kSublayerSuffix,
                             std::make_shared<Sublayer>(config.hidden, Sublayer::Position::attention));
}

torch::Tensor GlmAttention::forward(const torch::Tensor& x, const torch::Tensor& residual, const RotaryAngles& angles,
                                    const AttentionPlan& plan, KeyValueCache::Layer* cache) const {
  const auto fused = query_key_value->forward(x);
  const auto parts =
      per_head ? fused.view({-1, heads, 3, head_width}).unbind(2) : fused.view({-1, 3, heads, head_width}).unbind(1);
  // Each half of a head is turned by a position of its own, as if it were a head of half the width.
  const auto turn = [&](const torch::Tensor& t, const RotaryAngles& by) {
    return rotate(t.unflatten(-1, {2, head_width / 2}), by).flatten(-2);
  };
  const RotaryAngles asking{plan.asked(angles.cosines), plan.asked(angles.sines)};
  const auto attended = plan.attend(turn(plan.asked(parts[0]), asking), turn(parts[1], angles), parts[2], *site, cache);
  return sublayer->forward(dense->forward(attended), {plan.asked(x), residual});
}

GlmLayer::GlmLayer(const LanguageConfig& config) : alpha(std::sqrt(2.0 * static_cast<double>(config.alpha_layers))) {
  input_layernorm = register_module("input_layernorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
  attention = register_module("attention", std::make_shared<GlmAttention>(config));
  post_attention_layernorm =
      register_module("post_attention_layernorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
  mlp = register_module("mlp", std::make_shared<Mlp>(config.hidden, config.inner, "gelu_new"));
}

torch::Tensor GlmLayer::forward(const torch::Tensor& x, const RotaryAngles& angles, const AttentionPlan& plan,
                                KeyValueCache::Layer* cache) const {
  const auto a = input_layernorm->forward(x);
  const auto kept = alpha * plan.asked(a);
  const auto m = post_attention_layernorm->forward(kept + attention->forward(a, kept, angles, plan, cache));
  const auto kept_again = alpha * m;
  return kept_again + mlp->forward(m, {m, kept_again});
}

LanguageModel::LanguageModel(const LanguageConfig& config) {
  word_embeddings = register_module("word_embeddings", std::make_shared<Embedding>(config.vocabulary, config.hidden));
  embedding_site =
      register_module("embedding_site", std::make_shared<EmbeddingSite>("transformer.word_embeddings", config.hidden));
  const auto list = group(*this, "layers");
  for (int64_t i = 0; i < config.layers; ++i) {
    layers.push_back(list->register_module(std::to_string(i), std::make_shared<GlmLayer>(config)));
  }
  final_layernorm = register_module("final_layernorm", std::make_shared<LayerNorm>(config.hidden, config.eps));
  // The released code keeps them in float16; the angles themselves are better computed in float32.
  frequencies = inverse_frequencies(config.head_width() / 2, 10000.0).to(torch::kFloat16).to(torch::kFloat32);
}

torch::Tensor LanguageModel::forward(const torch::Tensor& embedded, const Layout& layout, const torch::Tensor& asked,
                                     KeyValueCache* cache) const {
  const bool decoding = cache && !cache->empty();
  const auto extended =
      decoding ? EmbeddingSite::Extended{embedded, layout, {}} : embedding_site->extend(embedded, layout);
  const torch::Device device = embedded.device();
  const AttentionPlan plan(extended.layout, device, cache);
  const AttentionPlan last = plan.of_rows(extended.places(asked));

  const auto positions = Positions::of(extended.layout, decoding ? cache : nullptr);
  const auto first = RotaryAngles::at(positions.in_prompt, frequencies);
  const auto second = RotaryAngles::at(positions.in_answer, frequencies);
  const RotaryAngles angles{to_device(torch::stack({first.cosines, second.cosines}, 1), device),
                            to_device(torch::stack({first.sines, second.sines}, 1), device)};

  if (cache) cache->layers.resize(layers.size());
  auto x = extended.rows;
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto run = [layer = layers[i], angles, plan = i + 1 < layers.size() ? plan : last,
                      kept = cache ? &cache->layers[i] : nullptr](const torch::Tensor& given) {
      return layer->forward(given, angles, plan, kept);
    };
    x = cache ? run(x) : checkpointed(x, run);  // a second run would grow the cache again
  }
  if (cache) cache->advance(extended.layout);
  return final_layernorm->forward(x);
}

}  // namespace peftlab::visualglm
