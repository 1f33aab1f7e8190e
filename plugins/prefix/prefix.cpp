/// Prefix tuning: in every layer, trained keys and values that every token sees, before its own.
///
///     K <- [P_K; K]    V <- [P_V; V]        P_K, P_V: [tokens, key/value heads, head width] for each layer
///
/// Queries stay as they are; keys of the prefix are not rotated, and no position is shifted. While training, P comes
/// from a small table through a network, which is thrown away afterwards:
///
///     P = W_2 tanh(W_1 E + b_1) + b_2       E: [tokens, d]    W_1: [hidden, d]    W_2: [2 layers d, hidden]
///
/// with d = key/value heads x head width. With `projection = false` P itself is trained; it can then start from the keys
/// and values that the frozen model computes for a text (section 7.4 of the paper).
///
/// Source: Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021, sections 4.2 and 4.3,
/// arXiv:2101.00190. First values, layout (row 2 l holds the keys, 2 l + 1 the values of layer l) and file are Hugging
/// Face peft's; so is whether the tokens' positions start after the prefix (GPT-2, LLaMA, BERT) or stay (ChatGLM).

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/nn/deep_prompt.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

/// The encoder's tensors in the file beside peft's, named as peft holds them while training.
const std::string kTable = "prompt_encoder.embedding.weight";
const std::string kInner = "prompt_encoder.transform.0.";
const std::string kOuter = "prompt_encoder.transform.2.";

/// The table and the network that P comes from while training.
struct Encoder : torch::nn::Module {
  Encoder(int64_t tokens, int64_t width, int64_t hidden, int64_t out) {
    table = register_parameter("embedding", torch::randn({tokens, width}, torch::kFloat32));
    inner = register_module("inner", std::make_shared<Linear>(width, hidden));
    outer = register_module("outer", std::make_shared<Linear>(hidden, out));
  }

  /// [tokens, out].
  torch::Tensor forward() const { return outer->forward(torch::tanh(inner->forward(table))); }

  torch::Tensor table;
  std::shared_ptr<Linear> inner, outer;
};

class Prefix final : public Method {
 public:
  explicit Prefix(Params& p)
      : tokens_(p.get<int64_t>("tokens", 20, "length of the prefix, at least 1")),
        projection_(p.get("projection", true, "train through a network that is thrown away afterwards")),
        hidden_(p.get_optional<int64_t>("hidden", "width of that network, at least 1; the model's if left out")),
        init_(p.get("init", "random", "random, as torch draws; text: keys and values of `text`, without `projection`")),
        text_(p.get_optional<std::string>("text", "what `init = \"text\"` starts from, repeated or cut to `tokens`")),
        positions_(p.get("positions", "model",
                         "of the tokens: shifted, after the prefix; kept, as without it; model, as its code has it")) {
    p.check(tokens_ >= 1, "tokens", "must be at least 1");
    p.check(!hidden_ || *hidden_ >= 1, "hidden", "must be at least 1");
    p.check(!hidden_ || projection_, "hidden", "has no meaning where `projection` is false");
    p.check(init_ == "random" || init_ == "text", "init", "must be random or text");
    p.check(positions_ == "model" || positions_ == "kept" || positions_ == "shifted", "positions",
            "must be model, kept or shifted");
    p.check(init_ != "text" || !projection_, "init",
            "\"text\" needs `projection = false`: no network gives the keys and values of a text");
    p.check(init_ != "text" || (text_ && !text_->empty()), "text", "must be given with `init = \"text\"`");
    p.check(init_ == "text" || !text_, "text", "has a meaning only with `init = \"text\"`");
  }

  void attach(Model& model, const Tokenizer& tokenizer) override {
    shape_ = deep_prompt_shape(model, tokens_, "prefix");
    if (!hidden_) hidden_ = model.facts().hidden;
    const torch::Device device = model.embedding_table().device();
    if (projection_) {
      encoder_ =
          register_module("encoder", std::make_shared<Encoder>(tokens_, shape_.width(), *hidden_, shape_.columns()));
      encoder_->to(device);
      prompt_ =
          std::make_shared<DeepPrompt>([encoder = encoder_] { return encoder->forward(); }, encoder_->parameters());
    } else {
      const torch::Tensor first =
          init_ == "text" ? text_rows(model, tokenizer) : torch::randn({tokens_, shape_.columns()}, torch::kFloat32);
      prompt_ = std::make_shared<DeepPrompt>(register_parameter("prompt_embeddings", first.to(device)));
    }
    std::optional<bool> take_positions;
    if (positions_ != "model") take_positions = positions_ == "shifted";
    DeepPrompt::attach(prompt_, model, shape_, nullptr, take_positions);
  }

  bool starts_at_base() const override { return false; }

  AdapterFiles save(Model&) const override {
    const torch::NoGradGuard no_grad;
    AdapterFiles files;
    files.config = config();
    files.tensors = saved_copies({{"prompt_embeddings", prompt_->compute()}});
    files.extra = saved_copies(encoder_tensors());
    return files;
  }

  /// With the encoder's tensors, training can go on through it; from the saved prefix alone, the prefix itself is what
  /// is held (and trained) from then on.
  void load(Model&, const AdapterFiles& files) override;

  Table options_from(const Table& adapter_config) const override;

 private:
  torch::Tensor text_rows(Model& model, const Tokenizer& tokenizer) const;

  TensorMap encoder_tensors() const {
    if (!encoder_) return {};
    return {{kTable, encoder_->table},
            {kInner + "weight", encoder_->inner->weight},
            {kInner + "bias", encoder_->inner->bias},
            {kOuter + "weight", encoder_->outer->weight},
            {kOuter + "bias", encoder_->outer->bias}};
  }

  Table config() const {
    Table config = peft_config("PREFIX_TUNING");
    config["num_virtual_tokens"] = tokens_;
    config["token_dim"] = shape_.width();
    config["num_transformer_submodules"] = 1;
    config["num_attention_heads"] = shape_.kv_heads;
    config["num_layers"] = shape_.layers;
    config["encoder_hidden_size"] = projection_ ? *hidden_ : shape_.width();
    config["prefix_projection"] = projection_;
    config["init_weights"] = Value();
    config["modules_to_save"] = Value();
    // peft has no such choice: it does what the model's code does.
    if (positions_ != "model") config["peftlab"] = Table{{"positions", positions_}};
    return config;
  }

  int64_t tokens_;
  bool projection_;
  std::optional<int64_t> hidden_;
  std::string init_;
  std::optional<std::string> text_;
  std::string positions_;
  DeepPromptShape shape_;
  std::shared_ptr<Encoder> encoder_;  ///< null where P itself is trained
  std::shared_ptr<DeepPrompt> prompt_;
};

/// What the model keeps of the text in its cache, as P [tokens, columns] in float32.
torch::Tensor Prefix::text_rows(Model& model, const Tokenizer& tokenizer) const {
  const std::vector<int64_t> ids = tokenizer.encode_with_special_tokens(*text_);
  if (ids.empty()) throw ConfigError("plugin prefix: `text` = \"" + *text_ + "\" has no tokens");
  if (tokens_ > model.facts().max_length) {
    throw ConfigError("plugin prefix: a text of `tokens` = " + std::to_string(tokens_) +
                      " does not fit into the model, which holds " + std::to_string(model.facts().max_length));
  }
  if (model.embedding_site().virtual_tokens() > 0 || model.attention_sites().front()->prefix_tokens() > 0) {
    throw ConfigError(
        "plugin prefix: `init = \"text\"` reads the text without any virtual tokens: name this method "
        "before those that add some");
  }
  std::vector<int64_t> repeated;
  for (int64_t i = 0; i < tokens_; ++i) repeated.push_back(ids[i % ids.size()]);

  const torch::NoGradGuard no_grad;
  const bool training = model.is_training();
  model.eval();  // no dropout
  KeyValueCache cache(/*room=*/0);
  try {
    const Encoded text = {.tokens = repeated, .labels = std::vector<int64_t>(repeated.size(), kNoLabel)};
    model.hidden(pack({text}).to(model.embedding_table().device()), &cache);
  } catch (const UnsupportedError& error) {
    model.train(training);
    throw UnsupportedError(std::string("plugin prefix: `init = \"text\"` needs keys and values of a text: ") +
                           error.what());
  }
  model.train(training);
  if (static_cast<int64_t>(cache.layers.size()) != shape_.layers) {
    throw UnsupportedError("plugin prefix: `init = \"text\"` needs keys and values of a text in every layer; model " +
                           model.facts().model_type + " keeps them in " + std::to_string(cache.layers.size()) + " of " +
                           std::to_string(shape_.layers));
  }
  std::vector<torch::Tensor> columns;
  for (const KeyValueCache::Layer& layer : cache.layers) {
    for (const torch::Tensor& kept : {layer.keys, layer.values}) {
      // [1, key/value heads, capacity, head width] -> [tokens, width]
      columns.push_back(kept[0].slice(1, 0, tokens_).transpose(0, 1).reshape({tokens_, shape_.width()}));
    }
  }
  return torch::cat(columns, 1).to(torch::kFloat32);
}

void Prefix::load(Model&, const AdapterFiles& files) {
  torch::Tensor flat;
  {
    const torch::NoGradGuard no_grad;
    flat = torch::empty_like(prompt_->compute());
  }
  copy_tensors(files.tensors, {{"prompt_embeddings", flat}}, "the prefix");
  if (!files.extra.empty()) {
    const torch::NoGradGuard no_grad;
    const auto fits = [&] { return torch::allclose(prompt_->compute(), flat, 1e-3, 1e-4); };
    copy_tensors_if(files.extra, encoder_tensors(), "the encoder of the prefix", fits,
                    "the prefix `prompt_embeddings` is not what the encoder beside it gives");
    return;
  }
  if (encoder_) {
    unregister_module("encoder");
    encoder_ = nullptr;
    prompt_->become(register_parameter("prompt_embeddings", flat));
    projection_ = false;
    return;
  }
  const torch::NoGradGuard no_grad;
  prompt_->compute().copy_(flat);
}

Table Prefix::options_from(const Table& adapter_config) const {
  AdapterConfig config(adapter_config, "plugin prefix");
  config.expect("peft_type", "PREFIX_TUNING");
  config.expect("num_transformer_submodules", 1);
  Table options = {{"tokens", config.get<int64_t>("num_virtual_tokens", 20)},
                   {"projection", config.get("prefix_projection", false)}};
  const Value* hidden = config.value("encoder_hidden_size");
  if (hidden && *options["projection"].get_if<bool>()) options["hidden"] = *hidden;
  const Table* own = config.table("peftlab");
  // The sizes follow from the model, and load() compares the tensor with them.
  config.ignore({"token_dim", "num_attention_heads", "num_layers", "init_weights"});
  config.finish();
  if (!own) return options;
  AdapterConfig ours(*own, "plugin prefix", "peftlab.");
  options["positions"] = ours.get("positions", "model");
  ours.finish();
  return options;
}

}  // namespace

PEFTLAB_PLUGIN(Method, Prefix, "prefix", "trained keys and values before those of every layer", "arXiv:2101.00190",
               "PREFIX_TUNING")

}  // namespace peftlab
