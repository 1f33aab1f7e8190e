#include "config.h"

#include <algorithm>

namespace peftlab::visualglm {
namespace {

constexpr int64_t kLargest = int64_t{1} << 30;  // of any size: products of two stay far from overflow

int64_t read_size(Params& p, const std::string& name, const std::string& meaning) {
  const auto size = p.require<int64_t>(name, meaning);
  p.check(1 <= size && size <= kLargest, name, "must lie between 1 and 2^30");
  return size;
}

double read_eps(Params& p, double default_value) {
  const double eps = p.get("layernorm_epsilon", default_value, "added to the variance in layer normalization, > 0");
  p.check(0.0 < eps && eps < 1.0, "layernorm_epsilon", "must lie in (0, 1)");
  return eps;
}

/// The sizes that all three stacks have; `unit`: what the width of a head must be a multiple of.
template <typename Stack>
void read_stack(Params& p, Stack& stack, int64_t unit) {
  stack.layers = read_size(p, "num_layers", "layers of the stack");
  stack.hidden = read_size(p, "hidden_size", "width of the stack");
  stack.heads = read_size(p, "num_attention_heads", "attention heads; they share hidden_size evenly");
  const int64_t step = unit * stack.heads;
  p.check(step < 1 || stack.hidden % step == 0, "hidden_size",
          "must be a multiple of " + (unit > 1 ? std::to_string(unit) + " times " : std::string()) +
              "num_attention_heads (" + std::to_string(stack.heads) + ")");
}

/// A key that may be there with the one value that is computed here.
template <typename T>
void read_fixed(Params& p, const std::string& name, const T& only, const std::string& wanted) {
  const T found = p.get<T>(name, only, "must be " + wanted);
  p.check(found == only, name, "must be " + wanted + ", nothing else can be computed");
}

/// Dropout is not computed in these stacks, so that a picture's vectors depend on the picture alone.
void read_no_dropout(Params& p) {
  for (const char* name : {"hidden_dropout", "attention_dropout", "drop_path"}) read_fixed(p, name, 0.0, "0");
  p.ignore({"model_parallel_size", "max_sequence_length"});
}

VisionConfig read_vision(Params& p, const Table& given) {
  VisionConfig vision;
  read_stack(p, vision, 1);
  vision.inner = read_size(p, "inner_hidden_size", "width inside the feed-forward network");
  vision.eps = read_eps(p, 1e-6);
  const auto size = p.require<std::vector<int64_t>>("image_size", "[height, width] of a picture in pixels");
  vision.patch = read_size(p, "patch_size", "pixels along a patch's side");
  bool fits = size.size() == 2 && vision.patch > 0;
  for (const int64_t side : size) fits = fits && 0 < side && side <= kLargest && side % vision.patch == 0;
  p.check(fits, "image_size",
          "must be [height, width], both multiples of patch_size (" + std::to_string(vision.patch) + ")");
  if (fits) vision.height = size[0], vision.width = size[1];

  read_fixed<std::string>(p, "layernorm_order", "pre", "\"pre\"");
  read_fixed<int64_t>(p, "in_channels", 3, "3");
  read_fixed<int64_t>(p, "vocab_size", 1, "1 (the class token)");
  read_fixed<int64_t>(p, "pre_len", 1, "1");
  read_fixed<int64_t>(p, "post_len", 0, "0");
  read_fixed<int64_t>(p, "num_classes", 0, "0");
  read_fixed(p, "use_final_layernorm", false, "false");
  if (given.contains("max_sequence_length") && fits) {
    read_fixed<int64_t>(p, "max_sequence_length", vision.patches() + 1,
                        std::to_string(vision.patches() + 1) + " (the patches and the class token)");
  }
  read_no_dropout(p);
  return vision;
}

QFormerConfig read_qformer(Params& p, const Table& given, int64_t vision_hidden) {
  QFormerConfig qformer;
  read_stack(p, qformer, 1);
  qformer.inner = p.get<int64_t>("inner_hidden_size", 4 * qformer.hidden, "width inside the feed-forward network");
  p.check(1 <= qformer.inner && qformer.inner <= 4 * kLargest, "inner_hidden_size", "must be at least 1");
  qformer.queries = read_size(p, "vocab_size", "learned queries, so many vectors become of a picture");
  qformer.eps = read_eps(p, 1e-12);
  const auto width = p.get<int64_t>("cross_attn_hidden_size", vision_hidden, "width of what is attended to");
  p.check(width == vision_hidden, "cross_attn_hidden_size",
          "must be eva_config.hidden_size (" + std::to_string(vision_hidden) + ")");

  const std::string crosses = "is_decoder";
  const std::string meaning = "which layers attend to the picture: a boolean each, or true for layers 0, 2, 4, ...";
  const auto entry = given.find(crosses);
  if (entry != given.end() && entry->second.get_if<List>()) {
    qformer.crosses = p.require<std::vector<bool>>(crosses, meaning);
    p.check(static_cast<int64_t>(qformer.crosses.size()) == qformer.layers, crosses,
            "must have one boolean for each of the " + std::to_string(qformer.layers) + " layers");
    bool any = false;
    for (const bool cross : qformer.crosses) any = any || cross;
    p.check(any, crosses, "must name at least one layer, or no picture is seen");
  } else {
    p.check(p.get(crosses, true, meaning), crosses, "must be true or a list of booleans");
    for (int64_t i = 0; i < qformer.layers && p.problems().empty(); ++i) qformer.crosses.push_back(i % 2 == 0);
  }

  read_fixed<std::string>(p, "layernorm_order", "post", "\"post\"");
  read_no_dropout(p);
  return qformer;
}

/// Hands what is wrong in a nested table on, under dotted names.
void hand_on(const Params& inner, const std::string& table, Params& outer) {
  for (const OptionProblem& problem : inner.problems()) {
    const std::string quoted = "`" + problem.name + "` ";
    std::string message = problem.message;
    if (message.starts_with(quoted)) {
      message = message.substr(quoted.size());
    } else if (message.starts_with("unknown key")) {
      message = "is an unknown key";
    }
    if (!problem.help.empty()) message += " (" + problem.help + ")";
    outer.check(false, table + "." + problem.name, message);
  }
}

std::optional<ImageConfig> read_image(Params& p) {
  const auto eva = p.get_optional<Table>(
      "eva_config",
      "the vision transformer: num_layers, hidden_size, "
      "num_attention_heads, inner_hidden_size, layernorm_epsilon, image_size, patch_size, in_channels");
  const auto between = p.get_optional<Table>(
      "qformer_config",
      "the Q-Former: num_layers, hidden_size, "
      "num_attention_heads, inner_hidden_size, layernorm_epsilon, vocab_size (queries), cross_attn_hidden_size, "
      "is_decoder");
  const auto length = p.get_optional<int64_t>("image_length", "tokens a picture takes; as many as there are queries");
  p.check(p.given("eva_config") == p.given("qformer_config"), p.given("eva_config") ? "qformer_config" : "eva_config",
          "is missing: eva_config and qformer_config must be given both, or neither for a model of text alone");
  if (!eva || !between) return std::nullopt;

  ImageConfig image;
  Params vision(*eva, "eva_config"), qformer(*between, "qformer_config");
  image.vision = read_vision(vision, *eva);
  image.qformer = read_qformer(qformer, *between, image.vision.hidden);
  hand_on(vision, "eva_config", p);
  hand_on(qformer, "qformer_config", p);
  p.check(!length || *length == image.qformer.queries, "image_length",
          "must be qformer_config.vocab_size (" + std::to_string(image.qformer.queries) + ")");
  return image;
}

}  // namespace

Config read_config(Params& p) {
  Config config;
  config.model_type = p.get("model_type", "chatglm", "\"chatglm\"");
  LanguageConfig& language = config.language;
  // Two halves of a head are turned by positions of their own, each half in pairs: hence the four.
  read_stack(p, language, 4);
  language.inner = read_size(p, "inner_hidden_size", "width inside the feed-forward network");
  language.vocabulary = read_size(p, "vocab_size", "rows of the embedding table");
  language.max_length = p.get<int64_t>("max_sequence_length", 2048, "tokens of a sequence, prompt and answer");
  p.check(4 <= language.max_length && language.max_length <= kLargest, "max_sequence_length", "must be at least 4");
  language.eps = read_eps(p, 1e-5);
  language.tied = p.get("tie_word_embeddings", true, "the head's weight is the embedding table");
  language.alpha_layers = p.get<int64_t>("residual_alpha_layers", 28,
                                         "N of alpha = sqrt(2 N), by which the residual "
                                         "is scaled; the released code takes 28 whatever num_layers is");
  p.check(1 <= language.alpha_layers && language.alpha_layers <= kLargest, "residual_alpha_layers",
          "must be at least 1");
  const auto layout = p.get("qkv_layout", "per_head",
                            "rows of query_key_value: \"per_head\" (q, k, v of each head, "
                            "Hugging Face's files) or \"blocks\" (all q, all k, all v, SAT's files)");
  p.check(layout == "per_head" || layout == "blocks", "qkv_layout", "must be \"per_head\" or \"blocks\"");
  language.per_head = layout == "per_head";

  const auto id = [&](const std::string& name, bool required, const std::string& meaning) -> int64_t {
    const int64_t found =
        required ? p.require<int64_t>(name, meaning) : p.get_optional<int64_t>(name, meaning).value_or(0);
    p.check(0 <= found && found < std::max<int64_t>(language.vocabulary, 1), name,
            "must be an id below vocab_size (" + std::to_string(language.vocabulary) + ")");
    return found;
  };
  config.sop = id("bos_token_id", true, "id of <sop>, which begins an answer");
  config.eop = id("eos_token_id", true, "id of <eop>, which ends an answer");
  config.gmask = id("gmask_token_id", true, "id of [gMASK], which ends a prompt");
  config.placeholder = id("pad_token_id", false, "id of <pad>; holds the places of a picture");
  id("mask_token_id", false, "id of [MASK]");
  id("unk_token_id", false, "id of <unk>");
  config.image = read_image(p);

  read_fixed(p, "position_encoding_2d", true, "true");
  read_fixed<int64_t>(p, "pre_seq_len", 0,
                      "0 or null (a prefix encoder inside the model is not read; train one as an adapter)");
  read_fixed(p, "prefix_projection", false, "false");
  read_fixed<int64_t>(p, "quantization_bit", 0, "0 (integer weights in ChatGLM's own form are not read)");
  read_fixed(p, "quantization_embeddings", false, "false");
  p.get_optional<Table>("quantization_config", "must be absent or null");
  p.check(!p.given("quantization_config"), "quantization_config",
          "must be absent: stored quantized weights are not read; give the folder of the unquantized ones");
  p.ignore({"architectures", "auto_map", "torch_dtype", "dtype", "transformers_version", "use_cache", "_name_or_path",
            "tokenizer_class", "num_image_tokens"});
  return config;
}

}  // namespace peftlab::visualglm
