/// GPT-2: a causal transformer with learned positions, layer normalization before each sublayer, and a head that is the
/// table of words.
///
///     x = wte[token] + wpe[position]
///     x += attention(LN(x));  x += mlp(LN(x))        for every layer
///     logits = wte LN(x)
///
/// Folders are those of transformers' GPT2LMHeadModel, GPT2Model (read as a language model whose head is the table) and
/// GPT2ForSequenceClassification, which reads a class at the last token. Its maps are stored [in, out] ("Conv1D"); here
/// they are [out, in] views of the file, and are written as they were read.
///
/// Source: Radford et al., "Language Models are Unsupervised Multitask Learners", 2019; Hugging Face transformers
/// 4.57.6, to whose numbers tests/causal_models holds us. One difference: reorder_and_upcast_attn changes nothing; in
/// float32 it means the same numbers.

#include "layers.h"

#include <peftlab/model.h>
#include <peftlab/nn/product.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>
#include <peftlab/text_rules.h>

#include <cmath>

namespace peftlab::gpt2 {
namespace {

constexpr const char* kStack = "transformer.";
constexpr const char* kHead = "lm_head";
constexpr const char* kClasses = "score";

class Gpt2 final : public Model {
 public:
  explicit Gpt2(Params& params) : config_(read_config(params)) {
    if (!params.problems().empty()) return;  // the host refuses the object; sizes may be anything
    transformer_ = register_module("transformer", std::make_shared<Stack>(config_));
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
    return transformer_->forward(batch.tokens, batch.layout, rows, cache);
  }
  torch::Tensor head(const torch::Tensor& rows) override {
    return head_ ? head_->forward(rows) : product(rows, transformer_->wte->weight);
  }

  bool ignores(const std::string& tensor) const override {
    // Causal masks that old files hold. The bias of a map ends with "c_attn.bias" and is none.
    if (tensor.ends_with(".attn.bias") || tensor.ends_with(".attn.masked_bias")) return true;
    return config_.classifies() && tensor == std::string(kHead) + ".weight";
  }
  std::string parameter_name(const std::string& tensor) const override {
    const bool whole = tensor.starts_with(kStack) || tensor.starts_with(std::string(kHead) + ".") ||
                       tensor.starts_with(std::string(kClasses) + ".");
    return whole ? tensor : kStack + tensor;
  }
  bool is_stored_transposed(const std::string& parameter) const override {
    return parameter.starts_with(kStack) &&
           (parameter.ends_with(".c_attn.weight") || parameter.ends_with(".c_proj.weight") ||
            parameter.ends_with(".c_fc.weight"));
  }
  std::map<std::string, std::string> tied() const override {
    if (head_) return {};
    return {{std::string(kHead) + ".weight", std::string(kStack) + "wte.weight"}};
  }

  std::vector<AttentionSite*> attention_sites() override {
    std::vector<AttentionSite*> sites;
    for (const auto& block : transformer_->blocks) sites.push_back(block->attn->site.get());
    return sites;
  }
  EmbeddingSite& embedding_site() override { return *transformer_->embedding_site; }
  torch::Tensor embedding_table() override { return transformer_->wte->weight; }
  std::string output_layer() const override { return config_.classifies() ? "" : kHead; }
  std::string classification_head() const override { return config_.classifies() ? kClasses : ""; }
  std::vector<std::string> default_lora_targets() const override { return {"c_attn"}; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "config.json",
                       R"({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "vocab_size": 64,
 "n_positions": 64, "n_embd": 16, "n_layer": 2, "n_head": 2, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
 "bos_token_id": 0, "eos_token_id": 0})");
  }

 private:
  void draw_first_values();
  void state_facts();

  Config config_;
  ModelFacts facts_;
  std::shared_ptr<Stack> transformer_;
  std::shared_ptr<Linear> head_;  // of a classifier, or untied; nullptr where it is the table of words
};

// In the order of the module tree: weights N(0, initializer_range), those that end a sublayer narrower by the square
// root of their number; biases zero.
void Gpt2::draw_first_values() {
  if (Blueprint::is_drawn()) return;
  const torch::NoGradGuard no_grad;
  for (auto& item : named_parameters()) {
    if (item.value().dim() == 1) {
      if (item.key().ends_with(".bias")) item.value().zero_();
      continue;
    }
    const bool ends_sublayer = item.key().ends_with(".c_proj.weight");
    const double narrower = ends_sublayer ? std::sqrt(2.0 * static_cast<double>(config_.layers)) : 1.0;
    item.value().normal_(0.0, config_.common.initializer_range / narrower);
  }
}

void Gpt2::state_facts() {
  facts_.model_type = "gpt2";
  facts_.vocabulary = config_.vocabulary;
  facts_.hidden = config_.hidden;
  facts_.layers = config_.layers;
  facts_.heads = facts_.kv_heads = config_.heads;
  facts_.head_width = config_.head_width();
  facts_.max_length = config_.positions;
  facts_.end_of_sequence = config_.common.end_of_sequence;
  facts_.labels = config_.common.labels;
  facts_.prefix_takes_positions = true;
}

}  // namespace
}  // namespace peftlab::gpt2

namespace peftlab {

PEFTLAB_PLUGIN(Model, gpt2::Gpt2, "gpt2", "GPT-2: a causal language model with learned positions, or a classifier",
               "Radford et al., 2019", "gpt2")

}  // namespace peftlab
