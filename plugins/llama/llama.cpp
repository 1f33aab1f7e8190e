/// LLaMA, Mistral and Qwen2: causal transformers with rotary positions, root-mean-square normalization before each
/// sublayer, gated feed-forward networks, and key/value heads that several attention heads share.
///
///     x = embed_tokens[token]
///     x += attention(norm(x));  x += down(silu(gate(norm(x))) * up(norm(x)))        for every layer
///     logits = lm_head norm(x)
///
/// They differ in their biases and windows: LLaMA's maps have biases where config.json says so; Mistral's rows see
/// sliding_window positions; Qwen2's q, k and v have biases, and some of its layers may have a window.
/// Folders are those of transformers' ...ForCausalLM, ...ForSequenceClassification (a class is read at the last token),
/// and of a bare ...Model whose head is tied.
///
/// rope_scaling of the kinds linear, dynamic and llama3 stretches positions. With `dynamic` the frequencies of a
/// sequence follow from its own length, so that a result does not depend on the neighbours in a batch (transformers
/// takes the longest one's) nor on what was computed before (transformers keeps the longest so far until a shorter one
/// than max_position_embeddings comes). While answering, keys stay as they were when they were stored, as in
/// transformers.
///
/// Sources: Touvron et al., 2023, arXiv:2302.13971; Jiang et al., 2023, arXiv:2310.06825; Yang et al., 2024,
/// arXiv:2407.10671; Hugging Face transformers 4.57.6, to whose numbers tests/causal_models holds us.

#include "layers.h"

#include <peftlab/model.h>
#include <peftlab/nn/product.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>
#include <peftlab/text_rules.h>

#include <cmath>

namespace peftlab::llama {
namespace {

constexpr const char* kStack = "model.";
constexpr const char* kHead = "lm_head";
constexpr const char* kClasses = "score";

class Llama final : public Model {
 public:
  explicit Llama(Params& params) : config_(read_config(params)) {
    if (!params.problems().empty()) return;  // the host refuses the object; sizes may be anything
    model_ = register_module("model", std::make_shared<Stack>(config_));
    if (config_.classifies()) {
      const auto classes = static_cast<int64_t>(config_.common.labels.size());
      head_ = register_module(kClasses, std::make_shared<Linear>(config_.hidden, classes, /*with_bias=*/false));
    } else if (!config_.tied) {
      head_ = register_module(kHead, std::make_shared<Linear>(config_.hidden, config_.vocabulary, /*with_bias=*/false));
    }
    draw_first_values();
    state_facts();
  }

  const ModelFacts& facts() const override { return facts_; }

  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    if (config_.classifies()) {
      return encode_class(example, tokenizer, facts_, /*at_end=*/true, max_length, with_target);
    }
    return encode_causal(example, tokenizer, facts_, config_.common.begin_of_sequence, max_length, with_target);
  }

  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    return hidden_at(batch, /*rows=*/{}, cache);
  }
  torch::Tensor hidden_at(const Batch& batch, const torch::Tensor& rows, KeyValueCache* cache) override {
    return model_->forward(batch.tokens, batch.layout, rows, cache);
  }
  torch::Tensor head(const torch::Tensor& rows) override {
    return head_ ? head_->forward(rows) : product(rows, model_->embed_tokens->weight);
  }

  bool ignores(const std::string& tensor) const override {
    if (tensor.ends_with(".rotary_emb.inv_freq")) return true;
    return config_.classifies() && tensor == std::string(kHead) + ".weight";
  }
  std::string parameter_name(const std::string& tensor) const override {
    const bool whole = tensor.starts_with(kStack) || tensor.starts_with(std::string(kHead) + ".") ||
                       tensor.starts_with(std::string(kClasses) + ".");
    return whole ? tensor : kStack + tensor;
  }
  std::map<std::string, std::string> tied() const override {
    if (head_) return {};
    return {{std::string(kHead) + ".weight", std::string(kStack) + "embed_tokens.weight"}};
  }

  std::vector<AttentionSite*> attention_sites() override {
    std::vector<AttentionSite*> sites;
    for (const auto& layer : model_->layers) sites.push_back(layer->self_attn->site.get());
    return sites;
  }
  EmbeddingSite& embedding_site() override { return *model_->embedding_site; }
  torch::Tensor embedding_table() override { return model_->embed_tokens->weight; }
  std::string output_layer() const override { return config_.classifies() ? "" : kHead; }
  std::string classification_head() const override { return config_.classifies() ? kClasses : ""; }
  std::vector<std::string> default_lora_targets() const override { return {"q_proj", "v_proj"}; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "config.json",
                       R"({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 64,
 "max_position_embeddings": 64, "hidden_size": 32, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 8, "bos_token_id": 0, "eos_token_id": 0})");
  }

 private:
  void draw_first_values();
  void state_facts();

  Config config_;
  ModelFacts facts_;
  std::shared_ptr<Stack> model_;
  std::shared_ptr<Linear> head_;  // of a classifier, or untied; nullptr where it is the table of words
};

// In the order of the module tree: weights N(0, initializer_range), biases zero; norms are ones.
void Llama::draw_first_values() {
  if (Blueprint::is_drawn()) return;
  const torch::NoGradGuard no_grad;
  for (auto& item : named_parameters()) {
    if (item.key().ends_with(".bias")) {
      item.value().zero_();
    } else if (item.value().dim() == 2) {
      item.value().normal_(0.0, config_.common.initializer_range);
    }
  }
}

void Llama::state_facts() {
  facts_.model_type = config_.model_type;
  facts_.vocabulary = config_.vocabulary;
  facts_.hidden = config_.hidden;
  facts_.layers = config_.layers;
  facts_.heads = config_.heads;
  facts_.kv_heads = config_.kv_heads;
  facts_.head_width = config_.head_width;
  // max_position_embeddings of a llama3 file counts the stretch already.
  const RotaryConfig& rotary = config_.rotary;
  const bool grows = rotary.stretch == Stretch::linear || rotary.stretch == Stretch::dynamic;
  facts_.max_length = static_cast<int64_t>(static_cast<double>(config_.max_positions) * (grows ? rotary.factor : 1.0));
  facts_.end_of_sequence = config_.common.end_of_sequence;
  facts_.labels = config_.common.labels;
  facts_.prefix_takes_positions = true;
}

}  // namespace
}  // namespace peftlab::llama

namespace peftlab {

PEFTLAB_PLUGIN(Model, llama::Llama, "llama", "LLaMA, Mistral and Qwen2: causal language models with rotary positions",
               "arXiv:2302.13971, arXiv:2310.06825, arXiv:2407.10671", "llama mistral qwen2")

}  // namespace peftlab
