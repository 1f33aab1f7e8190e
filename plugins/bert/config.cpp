#include "config.h"

namespace peftlab::bert {
namespace {

constexpr int64_t kLargest = int64_t{1} << 30;  // products of two stay far from overflow
constexpr int64_t kMostLayers = 10'000;

int64_t read_size(Params& p, const std::string& name, int64_t default_value, int64_t largest,
                  const std::string& meaning) {
  const auto size = p.get<int64_t>(name, default_value, meaning);
  p.check(1 <= size && size <= largest, name, "must lie between 1 and " + std::to_string(largest));
  return size;
}

double read_dropout(Params& p, const std::string& name, double default_value, const std::string& where) {
  const double probability =
      p.get(name, default_value, "probability that a number " + where + " is dropped while training");
  p.check(0.0 <= probability && probability < 1.0, name, "must lie in [0, 1)");
  return probability;
}

}  // namespace

Config read_config(Params& p) {
  Config config;
  const auto type = p.get("model_type", "bert", "\"bert\" or \"roberta\"");
  config.roberta = type == "roberta";
  config.common = read_transformers_config(p, Task::base);
  config.vocabulary =
      read_size(p, "vocab_size", config.roberta ? 50265 : 30522, kLargest, "rows of the table of words");
  config.hidden = read_size(p, "hidden_size", 768, kLargest, "width of the stack");
  config.layers = read_size(p, "num_hidden_layers", 12, kMostLayers, "layers of the stack");
  config.heads = read_size(p, "num_attention_heads", 12, kLargest, "attention heads");
  p.check(config.heads < 1 || config.hidden % config.heads == 0, "hidden_size",
          "must be a multiple of num_attention_heads (" + std::to_string(config.heads) + ")");
  config.inner = read_size(p, "intermediate_size", 3072, 4 * kLargest, "width inside the feed-forward network");
  config.activation = read_activation(p, "hidden_act", "gelu");
  config.positions = read_size(p, "max_position_embeddings", 512, kLargest, "rows of the table of positions");
  config.types = read_size(p, "type_vocab_size", 2, kLargest, "rows of the table of token types");
  config.eps = p.get("layer_norm_eps", 1e-12, "added to the variance in layer normalization, > 0");
  p.check(0.0 < config.eps && config.eps < 1.0, "layer_norm_eps", "must lie in (0, 1)");
  config.hidden_dropout = read_dropout(p, "hidden_dropout_prob", 0.1, "of a sublayer");
  config.attention_dropout = read_dropout(p, "attention_probs_dropout_prob", 0.1, "of the attention's weights");
  config.classifier_dropout = read_dropout(p, "classifier_dropout", config.hidden_dropout, "before the classifier");
  config.tied = p.get("tie_word_embeddings", true, "the head of masked tokens has the table of words for its weight");
  read_only_value<std::string>(p, "position_embedding_type", "absolute", "\"absolute\"");
  read_only_value(p, "is_decoder", false, "false (a causal BERT is not computed)");
  if (config.roberta) {
    const int64_t pad = config.common.pad.value_or(1);
    p.check(0 <= pad && pad < config.vocabulary, "pad_token_id", "must be an id below vocab_size");
    config.first_position = pad + 1;
    p.check(config.positions > config.first_position, "max_position_embeddings",
            "must be more than pad_token_id + 1 (" + std::to_string(config.first_position) +
                "), which is where RoBERTa's positions begin");
  }
  p.check(config.common.task != Task::language, "architectures",
          "must be a BERT or RoBERTa Model, ForMaskedLM, ForPreTraining or ForSequenceClassification");
  p.ignore({"gradient_checkpointing", "num_labels", "_num_labels", "directionality", "pooler_fc_size",
            "pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"});
  return config;
}

}  // namespace peftlab::bert
