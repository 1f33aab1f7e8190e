/// P-tuning v2: trained prompts at every layer, as keys and values before the layer's own.
///
///     K <- [P_K; K],  V <- [P_V; V]        for each layer, P [tokens, 2 layers width]
///
/// With `encoder = "none"` P itself is trained, which is what the paper's authors use where it matters and what
/// ChatGLM-6B's own tuning does. Else P comes from a table of vectors through a network while it is trained, and only P
/// is used afterwards: "mlp" (two maps and a tanh), "lstm" (bidirectional, as in the first P-tuning), "transformer" (one
/// layer). A classifier's head is trained beside it, as in the paper.
///
/// Source: Liu et al., "P-Tuning v2: Prompt Tuning Can Be Comparable to Fine-tuning Universally Across Scales and
/// Tasks", ACL 2022, section 3.3, arXiv:2110.07602. Without an encoder it is prefix tuning without its projection; with
/// "mlp" it is prefix tuning, first values included. Differences: the transformer encoder and the dropout of keys and
/// values are not in the paper's text (its code has the latter).

#include "encoders.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/nn/deep_prompt.h>
#include <peftlab/plugin.h>

#include <torch/nn/modules/dropout.h>

#include <algorithm>

namespace peftlab {
namespace {

using ptuning_v2::Encoder;

/// What the encoder's tensors begin with in the file beside peft's.
const std::string kEncoder = "prompt_encoder.";

class PTuningV2 final : public Method {
 public:
  explicit PTuningV2(Params& p)
      : tokens_(p.get<int64_t>("tokens", 20, "length of the prompt at every layer, at least 1")),
        encoder_name_(
            p.get("encoder", "none", "what the prompt comes from while training: none, mlp, lstm, transformer")),
        hidden_(p.get_optional<int64_t>("hidden", "width inside the encoder, at least 1; the model's if left out")),
        dropout_(
            p.get("dropout", 0.0, "probability that a number of the prompt is dropped while training, in [0, 1)")) {
    const auto& names = ptuning_v2::encoder_names();
    const bool known = encoder_name_ == "none" || std::find(names.begin(), names.end(), encoder_name_) != names.end();
    p.check(tokens_ >= 1, "tokens", "must be at least 1");
    p.check(known, "encoder", "must be none, mlp, lstm or transformer");
    p.check(!hidden_ || *hidden_ >= 1, "hidden", "must be at least 1");
    p.check(!hidden_ || encoder_name_ != "none", "hidden", "has no meaning where `encoder` is \"none\"");
    p.check(0.0 <= dropout_ && dropout_ < 1.0, "dropout", "must be in [0, 1)");
  }

  void attach(Model& model, const Tokenizer&) override {
    shape_ = deep_prompt_shape(model, tokens_, "ptuning_v2");
    const torch::Device device = model.embedding_table().device();
    if (encoder_name_ == "none") {
      const auto first = torch::randn({tokens_, shape_.columns()}, torch::kFloat32);
      prompt_ = std::make_shared<DeepPrompt>(register_parameter("prompt_embeddings", first.to(device)));
    } else {
      if (!hidden_) hidden_ = model.facts().hidden;
      encoder_ = register_module(
          "encoder", ptuning_v2::make_encoder(encoder_name_, {tokens_, shape_.width(), *hidden_, shape_.columns()}));
      encoder_->to(device);
      prompt_ =
          std::make_shared<DeepPrompt>([encoder = encoder_] { return encoder->forward(); }, encoder_->parameters());
    }
    drop_ = register_module("drop", torch::nn::Dropout(dropout_));
    DeepPrompt::attach(prompt_, model, shape_, [drop = drop_.ptr()](const torch::Tensor& part) {
      return torch::dropout(part, drop->options.p(), drop->is_training());
    });
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

  /// With the encoder's tensors, training can go on through it; from the prompt alone, the prompt itself is what is held
  /// (and trained) from then on.
  void load(Model&, const AdapterFiles& files) override;

  Table options_from(const Table& adapter_config) const override;

 private:
  TensorMap encoder_tensors() const {
    TensorMap tensors;
    if (!encoder_) return tensors;
    for (const auto& item : encoder_->named_parameters()) tensors[kEncoder + item.key()] = item.value();
    return tensors;
  }

  /// As peft describes a prefix that it trains without a projection; our own key tells it from one.
  Table config() const {
    Table own = {{"plugin", "ptuning_v2"}, {"encoder", encoder_ ? encoder_name_ : "none"}, {"dropout", dropout_}};
    if (encoder_) own["hidden"] = *hidden_;
    Table config = peft_config("PREFIX_TUNING");
    config["num_virtual_tokens"] = tokens_;
    config["token_dim"] = shape_.width();
    config["num_transformer_submodules"] = 1;
    config["num_attention_heads"] = shape_.kv_heads;
    config["num_layers"] = shape_.layers;
    config["encoder_hidden_size"] = shape_.width();
    config["prefix_projection"] = false;
    config["init_weights"] = Value();
    config["modules_to_save"] = Value();
    config["peftlab"] = own;
    return config;
  }

  int64_t tokens_;
  std::string encoder_name_;
  std::optional<int64_t> hidden_;
  double dropout_;
  DeepPromptShape shape_;
  std::shared_ptr<Encoder> encoder_;  ///< null where P itself is trained
  torch::nn::Dropout drop_ = nullptr;
  std::shared_ptr<DeepPrompt> prompt_;
};

void PTuningV2::load(Model&, const AdapterFiles& files) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor flat = torch::empty_like(prompt_->compute());
  copy_tensors(files.tensors, {{"prompt_embeddings", flat}}, "the prompt");
  if (files.extra.empty() && !encoder_) {
    prompt_->compute().copy_(flat);
    return;
  }
  if (files.extra.empty()) {
    unregister_module("encoder");
    encoder_ = nullptr;
    hidden_.reset();
    prompt_->become(register_parameter("prompt_embeddings", flat));
    return;
  }
  const auto fits = [&] { return torch::allclose(prompt_->compute(), flat, 1e-3, 1e-4); };
  copy_tensors_if(files.extra, encoder_tensors(), "the encoder of the prompt", fits,
                  "the prompt `prompt_embeddings` is not what the encoder beside it gives");
}

Table PTuningV2::options_from(const Table& adapter_config) const {
  AdapterConfig config(adapter_config, "plugin ptuning_v2");
  config.expect("peft_type", "PREFIX_TUNING");
  config.expect("num_transformer_submodules", 1);
  config.expect("prefix_projection", false);
  Table options = {{"tokens", config.get<int64_t>("num_virtual_tokens", 20)}};
  const Table* own = config.table("peftlab");
  // The sizes follow from the model, and load() compares the tensor with them.
  config.ignore({"token_dim", "num_attention_heads", "num_layers", "encoder_hidden_size", "init_weights"});
  config.finish();
  if (!own) return options;
  AdapterConfig ours(*own, "plugin ptuning_v2", "peftlab.");
  ours.expect("plugin", "ptuning_v2");
  options["encoder"] = ours.get("encoder", "none");
  options["dropout"] = ours.get("dropout", 0.0);
  if (const Value* hidden = ours.value("hidden")) options["hidden"] = *hidden;
  ours.finish();
  return options;
}

}  // namespace

PEFTLAB_PLUGIN(Method, PTuningV2, "ptuning_v2", "trained prompts at every layer, with or without an encoder",
               "arXiv:2110.07602", "")

}  // namespace peftlab
