#include "layers.h"

#include <peftlab/error.h>
#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/to_device.h>

#include <cmath>

namespace peftlab::gpt2 {
namespace {

/// The site behind a module's c_proj, named after that map.
std::shared_ptr<Sublayer> after_projection(int64_t width, Sublayer::Position position, const std::string& path) {
  auto sublayer = std::make_shared<Sublayer>(width, position);
  sublayer->name = path + ".c_proj";
  return sublayer;
}

}  // namespace

Attention::Attention(const Config& config, int64_t layer, const std::string& path)
    : scale(config.scaled ? 1.0 / std::sqrt(static_cast<double>(config.head_width())) : 1.0),
      attention_dropout(config.attention_dropout),
      residual_dropout(config.residual_dropout) {
  if (config.by_layer) scale /= static_cast<double>(layer + 1);
  c_attn = register_module("c_attn", std::make_shared<Linear>(config.hidden, 3 * config.hidden));
  site = register_module("site", std::make_shared<AttentionSite>(config.heads, config.heads, config.head_width()));
  site->name = path;
  c_proj = register_module("c_proj", std::make_shared<Linear>(config.hidden, config.hidden));
  sublayer = register_module("c_proj_sublayer", after_projection(config.hidden, Sublayer::Position::attention, path));
}

torch::Tensor Attention::forward(const torch::Tensor& x, const torch::Tensor& residual, const AttentionPlan& plan,
                                 KeyValueCache::Layer* cache) const {
  const auto parts = c_attn->forward(x).view({-1, 3, site->heads, site->head_width}).unbind(1);
  AttendOptions options;
  options.dropout = is_training() ? attention_dropout : 0.0;
  options.scale = scale;
  const auto attended = plan.attend(plan.asked(parts[0]), parts[1], parts[2], *site, cache, options);
  return sublayer->forward(torch::dropout(c_proj->forward(attended), residual_dropout, is_training()),
                           {plan.asked(x), residual});
}

Mlp::Mlp(const Config& config, const std::string& path)
    : activation(config.activation), dropout(config.residual_dropout) {
  c_fc = register_module("c_fc", std::make_shared<Linear>(config.hidden, config.inner));
  c_proj = register_module("c_proj", std::make_shared<Linear>(config.inner, config.hidden));
  sublayer =
      register_module("c_proj_sublayer", after_projection(config.hidden, Sublayer::Position::feed_forward, path));
}

torch::Tensor Mlp::forward(const torch::Tensor& x, const torch::Tensor& residual) const {
  const auto h = torch::dropout(c_proj->forward(activation(c_fc->forward(x))), dropout, is_training());
  return sublayer->forward(h, {x, residual});
}

Block::Block(const Config& config, int64_t layer, const std::string& path) {
  ln_1 = register_module("ln_1", std::make_shared<LayerNorm>(config.hidden, config.eps));
  attn = register_module("attn", std::make_shared<Attention>(config, layer, path + ".attn"));
  ln_2 = register_module("ln_2", std::make_shared<LayerNorm>(config.hidden, config.eps));
  mlp = register_module("mlp", std::make_shared<Mlp>(config, path + ".mlp"));
}

torch::Tensor Block::forward(const torch::Tensor& x, const AttentionPlan& plan, KeyValueCache::Layer* cache) const {
  const auto residual = plan.asked(x);
  const auto h = residual + attn->forward(ln_1->forward(x), residual, plan, cache);
  return h + mlp->forward(ln_2->forward(h), h);
}

Stack::Stack(const Config& config) : dropout(config.embedding_dropout) {
  wte = register_module("wte", std::make_shared<Embedding>(config.vocabulary, config.hidden));
  wpe = register_module("wpe", std::make_shared<Embedding>(config.positions, config.hidden));
  embedding_site = std::make_shared<EmbeddingSite>("transformer.wte", config.hidden);
  const auto list = register_module("h", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string number = std::to_string(i);
    blocks.push_back(list->register_module(number, std::make_shared<Block>(config, i, "transformer.h." + number)));
  }
  ln_f = register_module("ln_f", std::make_shared<LayerNorm>(config.hidden, config.eps));
}

torch::Tensor Stack::forward(const torch::Tensor& tokens, const Layout& layout, const torch::Tensor& asked,
                             KeyValueCache* cache) const {
  const bool decoding = cache && !cache->empty();
  const auto embedded = wte->forward(tokens);
  const auto extended =
      decoding ? EmbeddingSite::Extended{embedded, layout, {}} : embedding_site->extend(embedded, layout);
  const AttentionPlan plan(extended.layout, embedded.device(), cache);
  const AttentionPlan last = plan.of_rows(extended.places(asked));

  // Like transformers' cache, the first layer tells how many positions lie before the sequence.
  const int64_t first = blocks.front()->attn->site->first_position();
  const auto positions = plan.positions() + first;
  const int64_t longest = positions.numel() > 0 ? positions.max().item<int64_t>() + 1 : 0;
  if (longest > wpe->weight.size(0)) {
    const int64_t taken = first + embedding_site->virtual_tokens();
    throw ConfigError("a sequence takes " + std::to_string(longest) + " positions" +
                      (taken > 0 ? " (" + std::to_string(taken) + " of them a method's)" : "") +
                      ", the model has n_positions = " + std::to_string(wpe->weight.size(0)) +
                      ": give a smaller max_length");
  }

  auto x =
      torch::dropout(extended.rows + wpe->forward(to_device(positions, embedded.device())), dropout, is_training());
  if (cache) cache->layers.resize(blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) {
    const auto run = [block = blocks[i], plan = i + 1 < blocks.size() ? plan : last,
                      layer = cache ? &cache->layers[i] : nullptr](const torch::Tensor& given) {
      return block->forward(given, plan, layer);
    };
    x = cache ? run(x) : checkpointed(x, run);  // a second run would grow the cache again
  }
  if (cache) cache->advance(extended.layout);
  return ln_f->forward(x);
}

}  // namespace peftlab::gpt2
