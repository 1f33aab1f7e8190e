#include "layers.h"

#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/to_device.h>

namespace peftlab::llama {
namespace {

/// The site behind a map, named after it.
std::shared_ptr<Sublayer> after(int64_t width, Sublayer::Position position, const std::string& map) {
  auto sublayer = std::make_shared<Sublayer>(width, position);
  sublayer->name = map;
  return sublayer;
}

}  // namespace

Attention::Attention(const Config& config, int64_t layer, const std::string& path)
    : window(config.windows.at(layer)), dropout(config.attention_dropout) {
  const int64_t q_width = config.heads * config.head_width, kv_width = config.kv_heads * config.head_width;
  q_proj = register_module("q_proj", std::make_shared<Linear>(config.hidden, q_width, config.qkv_bias));
  k_proj = register_module("k_proj", std::make_shared<Linear>(config.hidden, kv_width, config.qkv_bias));
  v_proj = register_module("v_proj", std::make_shared<Linear>(config.hidden, kv_width, config.qkv_bias));
  site = register_module("site", std::make_shared<AttentionSite>(config.heads, config.kv_heads, config.head_width));
  site->name = path;
  o_proj = register_module("o_proj", std::make_shared<Linear>(q_width, config.hidden, config.output_bias));
  sublayer = register_module("o_proj_sublayer", after(config.hidden, Sublayer::Position::attention, path + ".o_proj"));
}

torch::Tensor Attention::forward(const torch::Tensor& x, const torch::Tensor& residual, const RotaryAngles& angles,
                                 const AttentionPlan& plan, KeyValueCache::Layer* cache) const {
  const auto heads = [&](const torch::Tensor& t) { return t.unflatten(-1, {-1, site->head_width}); };
  const torch::Tensor asking = plan.asked(x);
  const RotaryAngles asking_angles{plan.asked(angles.cosines), plan.asked(angles.sines)};
  AttendOptions options;
  options.dropout = is_training() ? dropout : 0.0;
  options.window = window;
  const auto attended =
      plan.attend(rotate(heads(q_proj->forward(asking)), asking_angles), rotate(heads(k_proj->forward(x)), angles),
                  heads(v_proj->forward(x)), *site, cache, options);
  return sublayer->forward(o_proj->forward(attended), {asking, residual});
}

Mlp::Mlp(const Config& config, const std::string& path) : activation(config.activation) {
  gate_proj = register_module("gate_proj", std::make_shared<Linear>(config.hidden, config.inner, config.mlp_bias));
  up_proj = register_module("up_proj", std::make_shared<Linear>(config.hidden, config.inner, config.mlp_bias));
  down_proj = register_module("down_proj", std::make_shared<Linear>(config.inner, config.hidden, config.mlp_bias));
  sublayer = register_module("down_proj_sublayer",
                             after(config.hidden, Sublayer::Position::feed_forward, path + ".down_proj"));
}

torch::Tensor Mlp::forward(const torch::Tensor& x, const torch::Tensor& residual) const {
  const auto h = down_proj->forward(activation(gate_proj->forward(x), up_proj->forward(x)));
  return sublayer->forward(h, {x, residual});
}

Layer::Layer(const Config& config, int64_t number, const std::string& path) {
  self_attn = register_module("self_attn", std::make_shared<Attention>(config, number, path + ".self_attn"));
  mlp = register_module("mlp", std::make_shared<Mlp>(config, path + ".mlp"));
  input_layernorm = register_module("input_layernorm", std::make_shared<RmsNorm>(config.hidden, config.eps));
  post_attention_layernorm =
      register_module("post_attention_layernorm", std::make_shared<RmsNorm>(config.hidden, config.eps));
}

torch::Tensor Layer::forward(const torch::Tensor& x, const RotaryAngles& angles, const AttentionPlan& plan,
                             KeyValueCache::Layer* cache) const {
  const auto residual = plan.asked(x);
  const auto h = residual + self_attn->forward(input_layernorm->forward(x), residual, angles, plan, cache);
  return h + mlp->forward(post_attention_layernorm->forward(h), h);
}

Stack::Stack(const Config& config) : rotary(config.rotary) {
  embed_tokens = register_module("embed_tokens", std::make_shared<Embedding>(config.vocabulary, config.hidden));
  embedding_site = std::make_shared<EmbeddingSite>("model.embed_tokens", config.hidden);
  const auto list = register_module("layers", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string number = std::to_string(i);
    layers.push_back(list->register_module(number, std::make_shared<Layer>(config, i, "model.layers." + number)));
  }
  norm = register_module("norm", std::make_shared<RmsNorm>(config.hidden, config.eps));
}

torch::Tensor Stack::forward(const torch::Tensor& tokens, const Layout& layout, const torch::Tensor& asked,
                             KeyValueCache* cache) const {
  const bool decoding = cache && !cache->empty();
  const auto embedded = embed_tokens->forward(tokens);
  const auto extended =
      decoding ? EmbeddingSite::Extended{embedded, layout, {}} : embedding_site->extend(embedded, layout);
  const AttentionPlan plan(extended.layout, embedded.device(), cache);
  const AttentionPlan last = plan.of_rows(extended.places(asked));

  // Like transformers' cache, the first layer tells how many positions lie before the sequence.
  const auto positions = plan.positions() + layers.front()->self_attn->site->first_position();
  const auto exact = rotary.angles(positions, extended.layout);
  const auto cast = [&](const torch::Tensor& t) { return to_device(t, embedded.device()).to(embedded.scalar_type()); };
  const RotaryAngles angles{cast(exact.cosines), cast(exact.sines)};

  auto x = extended.rows;
  if (cache) cache->layers.resize(layers.size());
  for (size_t i = 0; i < layers.size(); ++i) {
    const auto run = [layer = layers[i], angles, plan = i + 1 < layers.size() ? plan : last,
                      kept = cache ? &cache->layers[i] : nullptr](const torch::Tensor& given) {
      return layer->forward(given, angles, plan, kept);
    };
    x = cache ? run(x) : checkpointed(x, run);  // a second run would grow the cache again
  }
  if (cache) cache->advance(extended.layout);
  return norm->forward(x);
}

}  // namespace peftlab::llama
