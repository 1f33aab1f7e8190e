#include <peftlab/testing/toy.h>

#include <peftlab/error.h>
#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/to_device.h>

#include <ATen/CPUGeneratorImpl.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>

namespace peftlab::testing {

struct ToyModel::Layer : torch::nn::Module {
  Layer(const ToySizes& sizes, const std::string& path) {
    const int64_t head_width = sizes.hidden / sizes.heads;
    using Position = Sublayer::Position;
    first_norm = register_module("input_layernorm", std::make_shared<LayerNorm>(sizes.hidden, 1e-5));
    auto attention = register_module("attention", std::make_shared<torch::nn::Module>());
    const int64_t kv_width = sizes.kv_heads * head_width;
    qkv = attention->register_module("query_key_value",
                                     std::make_shared<Linear>(sizes.hidden, sizes.hidden + 2 * kv_width));
    site = attention->register_module("core", std::make_shared<AttentionSite>(sizes.heads, sizes.kv_heads, head_width));
    site->name = path + ".attention.core";
    dense = attention->register_module("dense", std::make_shared<Linear>(sizes.hidden, sizes.hidden));
    after_attention =
        attention->register_module("output", std::make_shared<Sublayer>(sizes.hidden, Position::attention));
    after_attention->name = path + ".attention.dense";
    second_norm = register_module("post_attention_layernorm", std::make_shared<LayerNorm>(sizes.hidden, 1e-5));
    auto mlp = register_module("mlp", std::make_shared<torch::nn::Module>());
    widen = mlp->register_module("dense_h_to_4h", std::make_shared<Linear>(sizes.hidden, sizes.inner));
    narrow = mlp->register_module("dense_4h_to_h", std::make_shared<Linear>(sizes.inner, sizes.hidden));
    after_mlp = mlp->register_module("output", std::make_shared<Sublayer>(sizes.hidden, Position::feed_forward));
    after_mlp->name = path + ".mlp.dense_4h_to_h";
  }

  torch::Tensor forward(torch::Tensor x, const AttentionPlan& plan, KeyValueCache::Layer* cache) {
    const int64_t kv_width = site->kv_heads * site->head_width, q_width = site->heads * site->head_width;
    const torch::Tensor a = first_norm->forward(x);
    const auto parts = qkv->forward(a).split_with_sizes({q_width, kv_width, kv_width}, -1);
    const auto heads = [&](const torch::Tensor& t, int64_t n) { return t.reshape({-1, n, site->head_width}); };
    const auto attended = plan.attend(plan.asked(heads(parts[0], site->heads)), heads(parts[1], site->kv_heads),
                                      heads(parts[2], site->kv_heads), *site, cache);
    x = plan.asked(x);
    x = x + after_attention->forward(dense->forward(attended), {plan.asked(a), x});
    const torch::Tensor m = second_norm->forward(x);
    return x + after_mlp->forward(narrow->forward(torch::gelu(widen->forward(m))), {m, x});
  }

  std::shared_ptr<LayerNorm> first_norm, second_norm;
  std::shared_ptr<Linear> qkv, dense, widen, narrow;
  std::shared_ptr<AttentionSite> site;
  std::shared_ptr<Sublayer> after_attention, after_mlp;
};

ToyModel::ToyModel(const ToySizes& sizes) {
  TORCH_CHECK(sizes.hidden % sizes.heads == 0 && sizes.heads % sizes.kv_heads == 0, "heads do not divide");
  facts_.model_type = "toy";
  facts_.vocabulary = sizes.vocabulary;
  facts_.hidden = sizes.hidden;
  facts_.layers = sizes.layers;
  facts_.heads = sizes.heads;
  facts_.kv_heads = sizes.kv_heads;
  facts_.head_width = sizes.hidden / sizes.heads;
  facts_.max_length = sizes.max_length;
  facts_.end_of_sequence = {ToyTokenizer::kEnd};

  auto transformer = register_module("transformer", std::make_shared<torch::nn::Module>());
  words_ = transformer->register_module("word_embeddings", std::make_shared<Embedding>(sizes.vocabulary, sizes.hidden));
  positions_ =
      transformer->register_module("position_embeddings", std::make_shared<Embedding>(sizes.max_length, sizes.hidden));
  site_ = std::make_shared<EmbeddingSite>("transformer.word_embeddings", sizes.hidden);
  auto layers = transformer->register_module("layers", std::make_shared<torch::nn::Module>());
  for (int64_t i = 0; i < sizes.layers; ++i) {
    const std::string index = std::to_string(i);
    layers_.push_back(layers->register_module(index, std::make_shared<Layer>(sizes, "transformer.layers." + index)));
  }
  last_norm_ = transformer->register_module("final_layernorm", std::make_shared<LayerNorm>(sizes.hidden, 1e-5));

  // Biases and norms are random too, so that a mistake with one of them shows.
  const torch::NoGradGuard no_grad;
  auto generator = at::make_generator<at::CPUGeneratorImpl>(uint64_t{20260101});
  for (auto& item : named_parameters()) {
    torch::Tensor& p = item.value();
    const bool norm = item.key().find("layernorm.weight") != std::string::npos;
    const double sd = p.dim() == 2 ? 1.0 / std::sqrt(static_cast<double>(p.size(1))) : 0.1;
    p.normal_(norm ? 1.0 : 0.0, sd, generator);
  }
}

Encoded ToyModel::encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                         bool with_target) const {
  Encoded encoded;
  encoded.tokens = tokenizer.encode(example.prompt);
  const auto prompt = static_cast<int64_t>(encoded.tokens.size());
  if (with_target) {
    const auto target = tokenizer.encode(example.target);
    encoded.tokens.insert(encoded.tokens.end(), target.begin(), target.end());
    encoded.tokens.push_back(ToyTokenizer::kEnd);
  }
  if (static_cast<int64_t>(encoded.tokens.size()) > max_length) encoded.tokens.resize(max_length);
  const auto total = static_cast<int64_t>(encoded.tokens.size());
  encoded.labels.assign(total, kNoLabel);
  for (int64_t i = std::max<int64_t>(0, prompt - 1); with_target && i + 1 < total; ++i) {
    encoded.labels[i] = encoded.tokens[i + 1];
  }
  return encoded;
}

torch::Tensor ToyModel::hidden(const Batch& batch, KeyValueCache* cache) { return hidden_at(batch, {}, cache); }

torch::Tensor ToyModel::hidden_at(const Batch& batch, const torch::Tensor& asked, KeyValueCache* cache) {
  const bool decoding = cache && !cache->empty();
  const torch::Tensor rows = words_->forward(batch.tokens);
  const auto extended = decoding ? EmbeddingSite::Extended{rows, batch.layout, {}} : site_->extend(rows, batch.layout);
  const AttentionPlan plan(extended.layout, rows.device(), cache);
  const AttentionPlan last = plan.of_rows(extended.places(asked));

  torch::Tensor x = extended.rows + positions_->forward(to_device(plan.positions(), rows.device()));
  if (cache) cache->layers.resize(layers_.size());
  for (size_t i = 0; i < layers_.size(); ++i) {
    const auto run = [layer = layers_[i], plan = i + 1 < layers_.size() ? plan : last,
                      kept = cache ? &cache->layers[i] : nullptr](const torch::Tensor& given) {
      return layer->forward(given, plan, kept);
    };
    x = cache ? run(x) : checkpointed(x, run);  // a second run would grow the cache again
  }

  if (cache) cache->advance(extended.layout);
  return last_norm_->forward(x);
}

torch::Tensor ToyModel::head(const torch::Tensor& rows) { return torch::linear(rows, words_->weight); }

std::vector<AttentionSite*> ToyModel::attention_sites() {
  std::vector<AttentionSite*> sites;
  for (const auto& layer : layers_) sites.push_back(layer->site.get());
  return sites;
}

std::vector<int64_t> ToyTokenizer::encode(const std::string& text) const {
  std::vector<int64_t> ids;
  for (const char c : text) ids.push_back(c >= 'a' && c <= 'z' ? c - 'a' : c == ' ' ? 26 : 27);
  return ids;
}

std::string ToyTokenizer::decode(const std::vector<int64_t>& ids) const {
  std::string text;
  for (const int64_t id : ids) {
    if (id >= 0 && id < 28) text += id < 26 ? static_cast<char>('a' + id) : id == 26 ? ' ' : '?';
  }
  return text;
}

std::optional<int64_t> ToyTokenizer::id_of(const std::string& piece) const {
  if (piece == "<end>") return kEnd;
  if (piece.size() == 1) return encode(piece)[0];
  return std::nullopt;
}

void set(torch::nn::Module& module, const std::string& name, const torch::Tensor& values) {
  auto known = module.named_parameters();
  torch::Tensor* parameter = known.find(name);
  if (!parameter) throw Error("there is no parameter `" + name + "`. " + suggestion(name, known.keys()));
  if (parameter->sizes() != values.sizes()) {
    std::ostringstream message;
    message << "`" << name << "` is " << parameter->sizes() << ", the values given are " << values.sizes();
    throw Error(message.str());
  }
  const torch::NoGradGuard no_grad;
  parameter->copy_(values);
}

}  // namespace peftlab::testing
