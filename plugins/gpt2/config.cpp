#include "config.h"

namespace peftlab::gpt2 {
namespace {

constexpr int64_t kLargest = int64_t{1} << 30;  // products of two stay far from overflow
constexpr int64_t kMostLayers = 10'000;

/// A size under GPT-2's own name or the one that all of transformers' models answer to.
int64_t read_size(Params& p, const std::string& name, const std::string& other, int64_t default_value, int64_t largest,
                  const std::string& meaning) {
  const auto alias = other.empty() ? std::nullopt : p.get_optional<int64_t>(other, "the same as " + name);
  const auto size = p.get<int64_t>(name, alias.value_or(default_value), meaning);
  p.check(!alias || *alias == size, name, "must be " + other + " (" + std::to_string(alias.value_or(0)) + ")");
  p.check(1 <= size && size <= largest, name, "must lie between 1 and " + std::to_string(largest));
  return size;
}

double read_dropout(Params& p, const std::string& name, const std::string& where) {
  const double probability = p.get(name, 0.1, "probability that a number " + where + " is dropped while training");
  p.check(0.0 <= probability && probability < 1.0, name, "must lie in [0, 1)");
  return probability;
}

}  // namespace

Config read_config(Params& p) {
  Config config;
  config.common = read_transformers_config(p, Task::language);
  config.vocabulary = read_size(p, "vocab_size", "", 50257, kLargest, "rows of the table of words");
  const auto context = p.get_optional<int64_t>("n_ctx", "old files' name of n_positions");
  config.positions = read_size(p, "n_positions", "max_position_embeddings", context.value_or(1024), kLargest,
                               "rows of the table of positions: the longest sequence");
  config.hidden = read_size(p, "n_embd", "hidden_size", 768, kLargest, "width of the stack");
  config.layers = read_size(p, "n_layer", "num_hidden_layers", 12, kMostLayers, "layers of the stack");
  config.heads = read_size(p, "n_head", "num_attention_heads", 12, kLargest, "attention heads");
  p.check(config.heads < 1 || config.hidden % config.heads == 0, "n_embd",
          "must be a multiple of n_head (" + std::to_string(config.heads) + ")");
  config.inner = read_size(p, "n_inner", "", 4 * config.hidden, 4 * kLargest,
                           "width inside the feed-forward network; null: 4 n_embd");
  config.activation = read_activation(p, "activation_function", "gelu_new");
  config.eps = p.get("layer_norm_epsilon", 1e-5, "added to the variance in layer normalization, > 0");
  p.check(0.0 < config.eps && config.eps < 1.0, "layer_norm_epsilon", "must lie in (0, 1)");
  config.embedding_dropout = read_dropout(p, "embd_pdrop", "of the embeddings");
  config.residual_dropout = read_dropout(p, "resid_pdrop", "that a sublayer adds");
  config.attention_dropout = read_dropout(p, "attn_pdrop", "of the attention's weights");
  config.scaled = p.get("scale_attn_weights", true, "attention divides by the square root of a head's width");
  config.by_layer = p.get("scale_attn_by_inverse_layer_idx", false, "attention divides by the layer's number, from 1");
  p.get("reorder_and_upcast_attn", false,
        "attention is computed in float32 whatever the rest is; in float32 no change");
  config.tied = p.get("tie_word_embeddings", true, "the head's weight is the table of words");

  p.check(config.common.task != Task::masked, "architectures",
          "must be GPT2LMHeadModel, GPT2Model or GPT2ForSequenceClassification");
  p.check(config.common.task != Task::base || config.tied, "architectures",
          "must be GPT2LMHeadModel where tie_word_embeddings is false: GPT2Model has no head to answer with");
  // The head of another class of model, and what only training scripts wrote.
  p.ignore({"summary_type", "summary_use_proj", "summary_activation", "summary_proj_to_labels", "summary_first_dropout",
            "predict_special_tokens", "_num_labels"});
  return config;
}

}  // namespace peftlab::gpt2
