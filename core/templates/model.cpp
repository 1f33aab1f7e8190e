/// %CLASS%: a causal transformer with one block a layer: attention and a feed-forward map side by side.
///
///     x <- embed(token) + position
///     x <- x + out(attend(qkv(n))) + narrow(gelu(widen(n)))        n = norm(x), for each layer
///     logits = embed(norm(x))
///
/// config.json: model_type "%NAME%", vocab_size, hidden_size, num_layers, num_heads, max_length, eos_token_id.
///
/// This is a place to start from: say here what your model computes, with its shapes and paper.

#include <peftlab/model.h>
#include <peftlab/nn/checkpointing.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>
#include <peftlab/text_rules.h>

namespace peftlab {
namespace {

constexpr double kEpsilon = 1e-5;

struct Layer : torch::nn::Module {
  Layer(const ModelFacts& facts, const std::string& path) {
    const int64_t width = facts.hidden;
    norm = register_module("norm", std::make_shared<LayerNorm>(width, kEpsilon));
    qkv = register_module("qkv", std::make_shared<Linear>(width, 3 * width));
    site = register_module("core", std::make_shared<AttentionSite>(facts.heads, facts.heads, facts.head_width));
    site->name = path + ".core";
    out = register_module("out", std::make_shared<Linear>(width, width));
    after_attention = register_module("attended", std::make_shared<Sublayer>(width, Sublayer::Position::attention));
    after_attention->name = path + ".out";
    widen = register_module("widen", std::make_shared<Linear>(width, 4 * width));
    narrow = register_module("narrow", std::make_shared<Linear>(4 * width, width));
    after_forward = register_module("fed_forward", std::make_shared<Sublayer>(width, Sublayer::Position::feed_forward));
    after_forward->name = path + ".narrow";
  }

  /// x [rows, width] -> the same shape.
  torch::Tensor forward(const torch::Tensor& x, const AttentionPlan& plan, KeyValueCache::Layer* cache) {
    const torch::Tensor n = norm->forward(x);
    const auto parts = qkv->forward(n).chunk(3, -1);
    const auto heads = [&](const torch::Tensor& t) { return t.reshape({-1, site->heads, site->head_width}); };
    const auto attended = plan.attend(heads(parts[0]), heads(parts[1]), heads(parts[2]), *site, cache);
    const auto fed = narrow->forward(torch::gelu(widen->forward(n)));
    return x + after_attention->forward(out->forward(attended), {n, x}) + after_forward->forward(fed, {n, x});
  }

  std::shared_ptr<LayerNorm> norm;
  std::shared_ptr<Linear> qkv, out, widen, narrow;
  std::shared_ptr<AttentionSite> site;
  std::shared_ptr<Sublayer> after_attention, after_forward;
};

class %CLASS% final : public Model {
 public:
  explicit %CLASS%(Params& p) {
    facts_.model_type = "%NAME%";
    facts_.vocabulary = p.get<int64_t>("vocab_size", 256, "tokens of the vocabulary");
    facts_.hidden = p.get<int64_t>("hidden_size", 64, "width, a multiple of num_heads");
    facts_.layers = p.get<int64_t>("num_layers", 2, "layers");
    facts_.heads = facts_.kv_heads = p.get<int64_t>("num_heads", 2, "heads of attention");
    facts_.max_length = p.get<int64_t>("max_length", 128, "positions");
    facts_.end_of_sequence = {p.get<int64_t>("eos_token_id", 0, "id that ends an answer")};
    p.check(facts_.heads >= 1 && facts_.hidden % std::max<int64_t>(facts_.heads, 1) == 0, "hidden_size",
            "must be a multiple of num_heads");
    facts_.head_width = facts_.hidden / std::max<int64_t>(facts_.heads, 1);

    words_ = register_module("words", std::make_shared<Embedding>(facts_.vocabulary, facts_.hidden));
    positions_ = register_module("positions", std::make_shared<Embedding>(facts_.max_length, facts_.hidden));
    site_ = std::make_shared<EmbeddingSite>("words", facts_.hidden);
    auto layers = register_module("layers", std::make_shared<torch::nn::Module>());
    for (int64_t i = 0; i < facts_.layers; ++i) {
      const std::string index = std::to_string(i);
      layers_.push_back(layers->register_module(index, std::make_shared<Layer>(facts_, "layers." + index)));
    }
    last_norm_ = register_module("norm", std::make_shared<LayerNorm>(facts_.hidden, kEpsilon));
    if (!Blueprint::is_drawn()) draw_first_values();
  }

  const ModelFacts& facts() const override { return facts_; }

  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    return encode_causal(example, tokenizer, facts_, facts_.end_of_sequence.front(), max_length, with_target);
  }

  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    const bool decoding = cache && !cache->empty();
    const torch::Tensor rows = words_->forward(batch.tokens);
    const auto extended =
        decoding ? EmbeddingSite::Extended{rows, batch.layout, {}} : site_->extend(rows, batch.layout);
    const auto plan = std::make_shared<const AttentionPlan>(extended.layout, rows.device(), cache);
    torch::Tensor x = extended.rows + positions_->forward(plan->positions().to(rows.device()));
    if (cache) cache->layers.resize(layers_.size());
    for (size_t i = 0; i < layers_.size(); ++i) {
      const auto run = [layer = layers_[i], plan, kept = cache ? &cache->layers[i] : nullptr](
                           const torch::Tensor& given) { return layer->forward(given, *plan, kept); };
      x = cache ? run(x) : checkpointed(x, run);
    }
    if (cache) cache->advance(extended.layout);
    x = last_norm_->forward(x);
    return extended.own_rows.defined() ? x.index_select(0, extended.own_rows) : x;
  }

  torch::Tensor head(const torch::Tensor& rows) override { return torch::linear(rows, words_->weight); }

  std::vector<AttentionSite*> attention_sites() override {
    std::vector<AttentionSite*> sites;
    for (const auto& layer : layers_) sites.push_back(layer->site.get());
    return sites;
  }
  EmbeddingSite& embedding_site() override { return *site_; }
  torch::Tensor embedding_table() override { return words_->weight; }
  std::vector<std::string> default_lora_targets() const override { return {"qkv"}; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "config.json", R"({"model_type": "%NAME%", "vocab_size": 40, "hidden_size": 16, "num_layers": 2, "num_heads": 2,
 "max_length": 64, "eos_token_id": 28})");
  }

 private:
  /// Maps and tables N(0, 0.05), biases zero; norms begin as they are made.
  void draw_first_values() {
    const torch::NoGradGuard no_grad;
    for (auto& item : named_parameters()) {
      if (item.value().dim() == 2) {
        item.value().normal_(0.0, 0.05);
      } else if (item.key().ends_with(".bias")) {
        item.value().zero_();
      }
    }
  }

  ModelFacts facts_;
  std::shared_ptr<Embedding> words_, positions_;
  std::shared_ptr<EmbeddingSite> site_;
  std::vector<std::shared_ptr<Layer>> layers_;
  std::shared_ptr<LayerNorm> last_norm_;
};

}  // namespace

PEFTLAB_PLUGIN(Model, %CLASS%, "%NAME%", "causal transformer with parallel blocks", "no paper yet", "")

}  // namespace peftlab
