/// ChatGLM-6B and VisualGLM-6B, of any size: a vision transformer, a Q-Former and a language model.
///
///     picture -> ViT -> Q-Former -> linear map = image vectors
///     <img> [image vectors] </img>问：prompt\n答： [gMASK] <sop> answer <eop>
///
/// Everything up to [gMASK] sees everything up to [gMASK]; the answer is causal. Without eva_config and qformer_config
/// the model is ChatGLM, and an example is prompt [gMASK] <sop> answer <eop>.
///
/// Sources: Du et al., "GLM", ACL 2022, arXiv:2103.10360; Zeng et al., "GLM-130B", 2022, arXiv:2210.02414; the released
/// code of THUDM/ChatGLM-6B and THUDM/VisualGLM-6B. Differences: softmax is not scaled back from an overflow guard (the
/// numbers are the same), rotary angles are float32 whatever the weights are, and nothing is dropped out in vision.

#include "language.h"
#include "vision.h"

#include <peftlab/error.h>
#include <peftlab/model.h>
#include <peftlab/nn/product.h>
#include <peftlab/nn/to_device.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>

#include <algorithm>
#include <cmath>

namespace peftlab::visualglm {
namespace {

constexpr const char* kImageEncoder = "image_encoder";
constexpr const char* kHead = "lm_head";
constexpr const char* kTable = "transformer.word_embeddings.weight";
constexpr double kTableDeviation = 0.02;

class VisualGlm final : public Model {
 public:
  explicit VisualGlm(Params& params) : config_(read_config(params)) {
    if (!params.problems().empty()) return;  // the host refuses the object; sizes may be anything
    const LanguageConfig& language = config_.language;
    transformer_ = register_module("transformer", std::make_shared<LanguageModel>(language));
    if (!language.tied) {
      head_ =
          register_module(kHead, std::make_shared<Linear>(language.hidden, language.vocabulary, /*with_bias=*/false));
    }
    if (config_.image) {
      encoder_ = register_module(kImageEncoder, std::make_shared<ImageEncoder>(*config_.image, language.hidden));
    }
    name_sites(*this);
    draw_first_values();
    state_facts();
  }

  const ModelFacts& facts() const override { return facts_; }

  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override;

  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    return hidden_at(batch, /*rows=*/{}, cache);
  }
  torch::Tensor hidden_at(const Batch& batch, const torch::Tensor& rows, KeyValueCache* cache) override {
    auto embedded = transformer_->word_embeddings->forward(batch.tokens);
    if (!cache || cache->empty()) embedded = splice(embedded, batch);
    return transformer_->forward(embedded, batch.layout, rows, cache);
  }

  torch::Tensor head(const torch::Tensor& rows) override {
    return head_ ? head_->forward(rows) : product(rows, transformer_->word_embeddings->weight);
  }

  torch::Tensor front(const torch::Tensor& images) override {
    return encoder_ ? encoder_->forward(images) : Model::front(images);
  }
  std::string front_prefix() const override { return encoder_ ? std::string(kImageEncoder) + "." : ""; }

  bool ignores(const std::string& tensor) const override {
    return tensor.ends_with(".rotary_emb.inv_freq") || tensor == "transformer.position_embeddings.weight";
  }
  std::map<std::string, std::string> tied() const override {
    if (head_) return {};
    return {{std::string(kHead) + ".weight", kTable}};
  }

  std::string output_layer() const override { return head_ ? kHead : ""; }
  std::vector<AttentionSite*> attention_sites() override {
    std::vector<AttentionSite*> sites;
    for (const auto& layer : transformer_->layers) sites.push_back(layer->attention->site.get());
    return sites;
  }
  EmbeddingSite& embedding_site() override { return *transformer_->embedding_site; }
  torch::Tensor embedding_table() override { return transformer_->word_embeddings->weight; }
  std::vector<std::string> default_lora_targets() const override { return {"query_key_value"}; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "config.json",
                       R"({"model_type": "chatglm", "num_layers": 2, "hidden_size": 48, "num_attention_heads": 3,
 "inner_hidden_size": 80, "vocab_size": 64, "max_sequence_length": 64, "bos_token_id": 60, "eos_token_id": 61,
 "mask_token_id": 58, "gmask_token_id": 59, "pad_token_id": 3, "unk_token_id": 0, "image_length": 3,
 "eva_config": {"num_layers": 2, "hidden_size": 24, "num_attention_heads": 2, "inner_hidden_size": 40,
                "image_size": [28, 42], "patch_size": 14, "in_channels": 3},
 "qformer_config": {"num_layers": 3, "hidden_size": 20, "num_attention_heads": 4, "inner_hidden_size": 80, "vocab_size": 3,
                    "cross_attn_hidden_size": 24, "is_decoder": [true, false, true]}})");
  }

 private:
  torch::Tensor splice(const torch::Tensor& embedded, const Batch& batch);
  void check_ids(const std::vector<int64_t>& ids, const Tokenizer& tokenizer) const;
  void draw_first_values();
  void state_facts();

  Config config_;
  ModelFacts facts_;
  std::shared_ptr<LanguageModel> transformer_;
  std::shared_ptr<Linear> head_;           // nullptr where it is the embedding table
  std::shared_ptr<ImageEncoder> encoder_;  // nullptr in a model of text alone
};

// In the order of the module tree: maps normal with variance 1 / inputs (at the width of the 6B model that is the usual
// deviation of 0.02, and narrow models learn faster by it), tables with deviation 0.02, biases zero.
void VisualGlm::draw_first_values() {
  if (Blueprint::is_drawn()) return;
  const torch::NoGradGuard no_grad;
  for (const auto& item : named_modules("", /*include_self=*/false)) {
    if (std::dynamic_pointer_cast<LayerNorm>(item.value())) continue;
    const bool is_table = std::dynamic_pointer_cast<Embedding>(item.value()) != nullptr;
    for (auto& parameter : item.value()->named_parameters(/*recurse=*/false)) {
      torch::Tensor& value = parameter.value();
      if (parameter.key() == "bias") {
        value.zero_();
      } else {
        const double inputs = static_cast<double>(value.numel() / value.size(0));
        value.normal_(0.0, is_table ? kTableDeviation : 1.0 / std::sqrt(inputs));
      }
    }
  }
}

void VisualGlm::state_facts() {
  const LanguageConfig& language = config_.language;
  facts_.model_type = config_.model_type;
  facts_.vocabulary = language.vocabulary;
  facts_.hidden = language.hidden;
  facts_.layers = language.layers;
  facts_.heads = facts_.kv_heads = language.heads;
  facts_.head_width = language.head_width();
  facts_.max_length = language.max_length;
  facts_.end_of_sequence = {config_.eop};
  if (!config_.image) return;
  ImageSpec images;
  images.height = config_.image->vision.height;
  images.width = config_.image->vision.width;
  images.mean = {0.48145466, 0.4578275, 0.40821073};  // CLIP's
  images.deviation = {0.26862954, 0.26130258, 0.27577711};
  facts_.images = images;
  facts_.image_tokens = config_.image->qformer.queries;
}

Encoded VisualGlm::encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                          bool with_target) const {
  if (!example.label.empty() && example.prompt.empty()) {
    throw UnsupportedError("model type " + config_.model_type +
                           " answers in words and has no classes, but an example has "
                           "the label \"" +
                           example.label + "\"");
  }
  if (example.has_image && !config_.image) {
    throw UnsupportedError(
        "an example has a picture, but this model has no image encoder (no eva_config in config.json)");
  }
  const auto add = [&](std::vector<int64_t>& to, const std::string& text) {
    const auto ids = tokenizer.encode(text);
    to.insert(to.end(), ids.begin(), ids.end());
  };

  Encoded encoded;
  std::vector<int64_t>& tokens = encoded.tokens;
  int64_t must_stay = 0;  // tokens that a cut must leave
  if (example.has_image) {
    add(tokens, "<img>");
    encoded.image_at = static_cast<int64_t>(tokens.size());
    tokens.insert(tokens.end(), facts_.image_tokens, config_.placeholder);
    must_stay = static_cast<int64_t>(tokens.size());
    add(tokens, "</img>问：" + example.prompt + "\n答：");
  } else {
    add(tokens, example.prompt);
  }
  // Room for [gMASK] and <sop>: without the two nothing is answered, and the first label is <sop>.
  const int64_t room = max_length - 2;
  if (room < must_stay) {
    throw ConfigError("max_length " + std::to_string(max_length) + " is too short: " +
                      (must_stay > 0 ? "a picture takes " + std::to_string(must_stay) + " tokens and " : "") +
                      "[gMASK] and <sop> two");
  }
  if (static_cast<int64_t>(tokens.size()) > room) tokens.resize(room);
  tokens.push_back(config_.gmask);
  encoded.context = static_cast<int64_t>(tokens.size());
  tokens.push_back(config_.sop);
  if (with_target) {
    add(tokens, example.target);
    tokens.push_back(config_.eop);
    if (static_cast<int64_t>(tokens.size()) > max_length) tokens.resize(max_length);
  }
  check_ids(tokens, tokenizer);

  encoded.labels.assign(tokens.size(), kNoLabel);
  if (with_target)
    std::copy(tokens.begin() + encoded.context, tokens.end(), encoded.labels.begin() + encoded.context - 1);
  return encoded;
}

// A tokenizer that is not the model's would go unnoticed but for its answers.
void VisualGlm::check_ids(const std::vector<int64_t>& ids, const Tokenizer& tokenizer) const {
  const std::pair<const char*, int64_t> specials[] = {
      {"<sop>", config_.sop}, {"<eop>", config_.eop}, {"[gMASK]", config_.gmask}};
  for (const auto& [piece, id] : specials) {
    const auto found = tokenizer.id_of(piece);
    if (found && *found != id) {
      throw FormatError("the tokenizer's " + std::string(piece) + " is " + std::to_string(*found) +
                        ", config.json says " + std::to_string(id));
    }
  }
  for (const int64_t id : ids) {
    if (id < 0 || id >= facts_.vocabulary) {
      throw FormatError("the tokenizer gave id " + std::to_string(id) + ", config.json's vocab_size is " +
                        std::to_string(facts_.vocabulary));
    }
  }
}

// embedded [total, hidden]: the rows of placeholders become the vectors of their pictures.
torch::Tensor VisualGlm::splice(const torch::Tensor& embedded, const Batch& batch) {
  std::vector<int64_t> places;
  int64_t pictures = 0;
  for (size_t s = 0; s < batch.image_at.size(); ++s) {
    const int64_t at = batch.image_at[s];
    if (at < 0) continue;
    if (at + facts_.image_tokens > batch.layout.length(static_cast<int64_t>(s))) {
      throw Error("a picture at token " + std::to_string(at) + " of a sequence of " +
                  std::to_string(batch.layout.length(static_cast<int64_t>(s))) + " takes " +
                  std::to_string(facts_.image_tokens) + " tokens");
    }
    ++pictures;
    for (int64_t i = 0; i < facts_.image_tokens; ++i) places.push_back(batch.layout.offsets[s] + at + i);
  }
  if (pictures == 0) return embedded;

  torch::Tensor features = batch.image_features;
  if (!features.defined() && batch.images.defined()) features = front(batch.images);
  const int64_t found = features.defined() ? features.size(0) : 0;
  if (found != pictures) {
    throw Error("a batch with " + std::to_string(pictures) + " places for pictures holds " + std::to_string(found));
  }
  const auto index = to_device(torch::tensor(places, torch::kInt64), embedded.device());
  return embedded.index_copy(0, index, features.reshape({-1, facts_.hidden}).to(embedded.scalar_type()));
}

}  // namespace
}  // namespace peftlab::visualglm

namespace peftlab {

PEFTLAB_PLUGIN(Model, visualglm::VisualGlm, "visualglm", "ViT, Q-Former and ChatGLM: answers to pictures and to text",
               "arXiv:2103.10360, arXiv:2210.02414, THUDM/VisualGLM-6B", "chatglm visualglm")

}  // namespace peftlab
