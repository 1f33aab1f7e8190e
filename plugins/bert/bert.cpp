/// BERT and RoBERTa: transformers in which every token sees every other, normalized after each sublayer.
///
///     x = LN(word[token] + type[0] + position[i])
///     h = LN(x + attention(x));  x = LN(h + W_2 gelu(W_1 h))        for every layer
///
/// Folders are those of transformers' BertModel and RobertaModel (the stack alone, to which `labels` under [model] gives
/// a head), ForSequenceClassification (a class, read at the first token) and ForMaskedLM or ForPreTraining (the words
/// that fill the mask tokens of a prompt, in order). A text is one segment (type 0); such a model does not generate.
///
/// Sources: Devlin et al., "BERT", NAACL 2019, arXiv:1810.04805; Liu et al., "RoBERTa", 2019, arXiv:1907.11692; Hugging
/// Face transformers 4.57.6, to whose numbers oracle_test.cpp holds us. With virtual tokens in front (prompt
/// tuning) the class is read at the first of them, as transformers' classifiers do under peft.

#include "encode.h"
#include "heads.h"
#include "layers.h"

#include <peftlab/error.h>
#include <peftlab/model.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>
#include <peftlab/text_rules.h>

namespace peftlab::bert {
namespace {

class Bert final : public Model {
 public:
  explicit Bert(Params& params) : config_(read_config(params)) {
    if (!params.problems().empty()) return;  // the host refuses the object; sizes may be anything
    stack_ = register_module(config_.name(), std::make_shared<Stack>(config_));
    head_ = make_head(config_, *this, *stack_);
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
    refuse_cache(cache);
    return stack_->forward(batch.tokens, batch.layout, rows, /*first_of_all=*/classifies());
  }

  torch::Tensor head(const torch::Tensor& rows) override {
    if (head_) return head_->forward(rows, stack_->words->weight, is_training());
    refuse_without_head();
  }

  bool ignores(const std::string& tensor) const override;
  std::string parameter_name(const std::string& tensor) const override;
  std::map<std::string, std::string> tied() const override {
    return head_ ? head_->tied() : std::map<std::string, std::string>{};
  }

  std::vector<AttentionSite*> attention_sites() override {
    std::vector<AttentionSite*> sites;
    for (const auto& layer : stack_->layers) sites.push_back(layer->site.get());
    return sites;
  }
  EmbeddingSite& embedding_site() override { return *stack_->embedding_site; }
  torch::Tensor embedding_table() override { return stack_->words->weight; }
  std::string classification_head() const override { return classifies() ? "classifier" : ""; }
  std::vector<std::string> default_lora_targets() const override { return {"query", "value"}; }

  static std::filesystem::path write_sample(const std::filesystem::path& folder) {
    return sample_file(folder / "config.json",
                       R"({"model_type": "bert", "architectures": ["BertForSequenceClassification"], "vocab_size": 64,
 "max_position_embeddings": 64, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4,
 "type_vocab_size": 1, "attention_probs_dropout_prob": 0.0, "hidden_dropout_prob": 0.0,
 "id2label": {"0": "bad", "1": "fair", "2": "good"}})");
  }

 private:
  bool classifies() const { return config_.common.task == Task::classification; }
  void refuse_cache(const KeyValueCache* cache) const;
  [[noreturn]] void refuse_without_head() const;
  void draw_first_values();
  void state_facts();

  Config config_;
  ModelFacts facts_;
  std::shared_ptr<Stack> stack_;
  std::unique_ptr<Head> head_;  // nullptr for the stack alone
};

void Bert::refuse_cache(const KeyValueCache* cache) const {
  if (!cache) return;
  throw UnsupportedError("model type " + facts_.model_type +
                         " does not generate: its tokens see those after them, so no answer grows token by token");
}

void Bert::refuse_without_head() const {
  throw UnsupportedError("config.json is that of a bare " + facts_.model_type +
                         " model, which has no head to answer with: give it classes with `labels` under [model]");
}

Encoded Bert::encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length, bool with_target) const {
  if (config_.common.task == Task::masked) return encode_masked(example, tokenizer, facts_, max_length, with_target);
  if (!classifies()) refuse_without_head();
  auto encoded = encode_class(example, tokenizer, facts_, /*at_end=*/false, max_length, with_target);
  encoded.context = static_cast<int64_t>(encoded.tokens.size());
  return encoded;
}

bool Bert::ignores(const std::string& tensor) const {
  // Buffers, and what transformers passes over when it opens this class: heads of other tasks.
  if (tensor.ends_with("embeddings.position_ids") || tensor.ends_with("embeddings.token_type_ids")) return true;
  const bool pooled = classifies() && !config_.roberta;
  if (!pooled && (tensor.starts_with("pooler.") || tensor.starts_with(config_.name() + ".pooler."))) return true;
  const Task task = config_.common.task;
  if (tensor.starts_with("cls.seq_relationship.")) return true;
  if (task != Task::masked && (tensor.starts_with("cls.") || tensor.starts_with("lm_head."))) return true;
  return task == Task::base && tensor.starts_with("classifier.");
}

std::string Bert::parameter_name(const std::string& tensor) const {
  std::string name = tensor;
  const auto renamed = [&](const std::string& old, const std::string& now) {
    if (name.ends_with(old)) name = name.substr(0, name.size() - old.size()) + now;
  };
  renamed("LayerNorm.gamma", "LayerNorm.weight");
  renamed("LayerNorm.beta", "LayerNorm.bias");
  for (const char* part : {"embeddings.", "encoder.", "pooler."}) {
    if (name.starts_with(part)) return config_.name() + "." + name;
  }
  return name;
}

// As transformers: weights N(0, initializer_range), biases zero, norms one.
void Bert::draw_first_values() {
  if (Blueprint::is_drawn()) return;
  const torch::NoGradGuard no_grad;
  for (auto& item : named_parameters()) {
    if (item.value().dim() > 1) {
      item.value().normal_(0.0, config_.common.initializer_range);
    } else if (item.key().ends_with("bias")) {
      item.value().zero_();
    }
  }
}

void Bert::state_facts() {
  facts_.model_type = config_.name();
  facts_.vocabulary = config_.vocabulary;
  facts_.hidden = config_.hidden;
  facts_.layers = config_.layers;
  facts_.heads = facts_.kv_heads = config_.heads;
  facts_.head_width = config_.head_width();
  facts_.max_length = config_.max_length();
  facts_.end_of_sequence = config_.common.end_of_sequence;
  facts_.labels = config_.common.labels;
  facts_.prefix_takes_positions = true;
}

}  // namespace
}  // namespace peftlab::bert

namespace peftlab {

PEFTLAB_PLUGIN(Model, bert::Bert, "bert", "BERT and RoBERTa: classes of texts, or the words behind a mask",
               "arXiv:1810.04805, arXiv:1907.11692", "bert roberta")

}  // namespace peftlab
