#include "config.h"

#include <peftlab/value.h>

#include <algorithm>

namespace peftlab::llama {
namespace {

constexpr int64_t kLargest = int64_t{1} << 30;  // products of two stay far from overflow
constexpr int64_t kMostLayers = 10'000;
constexpr const char* kSliding = "sliding_attention";

int64_t read_size(Params& p, const std::string& name, int64_t default_value, int64_t largest,
                  const std::string& meaning) {
  const auto size = p.get<int64_t>(name, default_value, meaning);
  p.check(1 <= size && size <= largest, name, "must lie between 1 and " + std::to_string(largest));
  return size;
}

void read_sizes(Params& p, Config& config) {
  const bool llama = config.model_type == "llama", mistral = config.model_type == "mistral";
  config.vocabulary =
      read_size(p, "vocab_size", config.model_type == "qwen2" ? 151936 : 32000, kLargest, "rows of the table of words");
  config.hidden = read_size(p, "hidden_size", 4096, kLargest, "width of the stack");
  config.inner = read_size(p, "intermediate_size",
                           llama     ? 11008
                           : mistral ? 14336
                                     : 22016,
                           kLargest, "width inside the feed-forward network");
  config.layers = read_size(p, "num_hidden_layers", 32, kMostLayers, "layers of the stack");
  config.heads = read_size(p, "num_attention_heads", 32, kLargest, "attention heads");
  config.kv_heads = read_size(p, "num_key_value_heads", config.heads, kLargest,
                              "heads of keys and values, each shared by so many attention heads");
  p.check(config.kv_heads < 1 || config.heads % config.kv_heads == 0, "num_attention_heads",
          "must be a multiple of num_key_value_heads (" + std::to_string(config.kv_heads) + ")");
  const auto width = p.get_optional<int64_t>("head_dim", "width of a head; null: hidden_size / num_attention_heads");
  p.check(
      width || config.heads < 1 || config.hidden % config.heads == 0, "hidden_size",
      "must be a multiple of num_attention_heads (" + std::to_string(config.heads) + ") where head_dim is not given");
  config.head_width = width.value_or(config.heads > 0 ? config.hidden / config.heads : 0);
  p.check(2 <= config.head_width && config.head_width <= kLargest && config.head_width % 2 == 0, "head_dim",
          "is " + std::to_string(config.head_width) + ", wanted an even width of at least 2: its halves are turned");
  config.max_positions = read_size(p, "max_position_embeddings",
                                   llama     ? 2048
                                   : mistral ? 131072
                                             : 32768,
                                   kLargest, "the length that the model was made for");
}

/// The windows of Qwen2's layers: from layer max_window_layers on, or those that layer_types names.
std::vector<int64_t> read_qwen2_windows(Params& p, const Config& config) {
  const bool used = p.get("use_sliding_window", false, "some layers see sliding_window positions only");
  const auto window = p.get<int64_t>("sliding_window", 4096, "positions that such a layer's row sees");
  const auto first = p.get<int64_t>("max_window_layers", 28, "layers before the first of those");
  const auto types =
      p.get<std::vector<std::string>>("layer_types", {}, "full_attention or sliding_attention, per layer");
  p.check(!used || window >= 1, "sliding_window", "must be at least 1");
  std::vector<int64_t> windows;
  for (int64_t i = 0; i < config.layers && i < kMostLayers; ++i) windows.push_back(used && i >= first ? window : 0);
  if (!p.given("layer_types")) return windows;

  p.check(static_cast<int64_t>(types.size()) == config.layers, "layer_types",
          "must have one entry for each of the " + std::to_string(config.layers) + " layers");
  for (size_t i = 0; i < types.size() && i < windows.size(); ++i) {
    p.check(types[i] == kSliding || types[i] == "full_attention", "layer_types",
            "names `" + types[i] + "`. " + suggestion(types[i], {"full_attention", kSliding}));
    p.check(types[i] != kSliding || used, "layer_types", "names sliding_attention, but use_sliding_window is false");
    windows[i] = types[i] == kSliding ? window : 0;
  }
  return windows;
}

void read_windows(Params& p, Config& config) {
  const auto layers = static_cast<size_t>(std::max<int64_t>(0, std::min(config.layers, kMostLayers)));
  config.windows.assign(layers, 0);
  if (config.model_type == "qwen2") {
    config.windows = read_qwen2_windows(p, config);
  } else if (config.model_type == "mistral") {
    const auto window = p.get_optional<int64_t>("sliding_window", "positions that a row sees; null: all before it");
    p.check(!window || *window >= 1, "sliding_window", "must be at least 1, or null");
    config.windows.assign(layers, window.value_or(0));
  } else {
    p.check(!p.given("sliding_window"), "sliding_window", "must be null: no layer of model_type llama has a window");
    p.ignore({"sliding_window"});
  }
}

void read_biases(Params& p, Config& config) {
  if (config.model_type == "llama") {
    config.qkv_bias = config.output_bias = p.get("attention_bias", false, "the maps of attention have biases");
    config.mlp_bias = p.get("mlp_bias", false, "the maps of the feed-forward network have biases");
    return;
  }
  config.qkv_bias = config.model_type == "qwen2";
  if (config.qkv_bias) {
    p.ignore({"attention_bias"});  // Qwen2 has these biases whatever a file says
  } else {
    read_only_value(p, "attention_bias", false, "false");
  }
  read_only_value(p, "mlp_bias", false, "false");
}

}  // namespace

Config read_config(Params& p) {
  Config config;
  config.model_type = p.get("model_type", "llama", "\"llama\", \"mistral\" or \"qwen2\"");
  config.common = read_transformers_config(p, Task::language);
  read_sizes(p, config);
  config.rotary = read_rotary(p, config.head_width, config.max_positions);
  read_windows(p, config);
  read_biases(p, config);
  config.eps = p.get("rms_norm_eps", 1e-6, "added to the mean square in normalization, > 0");
  p.check(0.0 < config.eps && config.eps < 1.0, "rms_norm_eps", "must lie in (0, 1)");
  config.activation = read_gated_activation(p, "hidden_act", "silu");
  config.attention_dropout =
      p.get("attention_dropout", 0.0, "probability that a weight of attention is dropped while training");
  p.check(0.0 <= config.attention_dropout && config.attention_dropout < 1.0, "attention_dropout", "must lie in [0, 1)");
  config.tied = p.get("tie_word_embeddings", false, "the head's weight is the table of words");

  p.check(config.common.task != Task::masked, "architectures",
          "must name a class that ends with ForCausalLM, Model or ForSequenceClassification");
  p.check(config.common.task != Task::base || config.tied, "architectures",
          "must end with ForCausalLM where tie_word_embeddings is false: a bare Model has no head to answer with");
  // Slices of the maps that change the last digits only, and kinds of rotary positions that are computed elsewhere.
  read_only_value<int64_t>(p, "pretraining_tp", 1, "1");
  read_only_value(p, "partial_rotary_factor", 1.0, "1");
  read_only_value(p, "rope_interleaved", false, "false");
  read_only_value(p, "use_mrope", false, "false");
  p.ignore({"max_sequence_length", "is_llama_config", "transformers.js_config", "unsloth_version", "unsloth_fixed",
            "_num_labels"});
  return config;
}

}  // namespace peftlab::llama
