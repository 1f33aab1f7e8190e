/// P-tuning: vectors before the input embeddings, which a network makes of a trained table.
///
///     E(x) <- [P; E(x)]        P [tokens, d] = encoder(table [tokens, d])
///
/// With `encoder = "mlp"` the network is three linear maps with a ReLU between them, d -> hidden -> hidden -> d; with
/// "lstm" a bidirectional LSTM (2 layers, hidden each way), and two linear maps, 2 hidden -> 2 hidden -> d. It is needed
/// only while training: P alone is saved.
///
/// Source: Liu et al., "GPT Understands, Too", 2021, section 3.2, arXiv:2103.10385. Structure, first values and file are
/// Hugging Face peft's, which differs from the paper: all vectors stand in front (`template` of plugins/prompt has other
/// places), an MLP can take the LSTM's place, and the model stays frozen, which the paper's does only in part.

#include "encoder.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

using ptuning::Encoder;

/// What the encoder's tensors begin with in the file beside peft's.
const std::string kEncoder = "prompt_encoder.";

class PTuning final : public Method {
 public:
  explicit PTuning(Params& p)
      : tokens_(p.get<int64_t>("tokens", 20, "number of vectors, at least 1")),
        encoder_name_(p.get("encoder", "mlp", "what makes the vectors while training: mlp or lstm")),
        hidden_(p.get_optional<int64_t>("hidden", "width inside the encoder, at least 1; the model's if left out")),
        layers_(p.get<int64_t>("layers", 2, "layers of the LSTM, at least 1")),
        dropout_(p.get("dropout", 0.0, "probability, in [0, 1), between the layers of the LSTM")) {
    const bool lstm = encoder_name_ == "lstm";
    p.check(tokens_ >= 1, "tokens", "must be at least 1");
    p.check(lstm || encoder_name_ == "mlp", "encoder", "must be mlp or lstm");
    p.check(!hidden_ || *hidden_ >= 1, "hidden", "must be at least 1");
    p.check(layers_ >= 1, "layers", "must be at least 1");
    p.check(lstm || layers_ == 2, "layers", "has a meaning only with `encoder = \"lstm\"`");
    p.check(0.0 <= dropout_ && dropout_ < 1.0, "dropout", "must be in [0, 1)");
    p.check(dropout_ == 0.0 || (lstm && layers_ > 1), "dropout",
            "has a meaning only with `encoder = \"lstm\"` of at least two `layers`");
  }

  void attach(Model& model, const Tokenizer&) override {
    EmbeddingSite& site = model.embedding_site();
    if (!hidden_) hidden_ = site.width;
    width_ = site.width;
    encoder_ = register_module(
        "encoder", ptuning::make_encoder({encoder_name_ == "lstm", tokens_, width_, *hidden_, layers_, dropout_}));
    encoder_->to(model.embedding_table().device());
    site.prepend([source = source_] { return source->prompt(); }, tokens_);
    source_->encoder = encoder_;
  }

  bool starts_at_base() const override { return false; }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = config(model);
    files.tensors = saved_copies({{"prompt_embeddings", finished()}});
    files.extra = saved_copies(encoder_tensors());
    return files;
  }

  /// With the encoder's tensors, training can go on through it; from the vectors alone, the vectors themselves are what
  /// is held (and trained) from then on.
  void load(Model&, const AdapterFiles& files) override;

  Table options_from(const Table& adapter_config) const override;

 private:
  /// Where the model gets P from; its hook owns it.
  struct Source {
    torch::Tensor prompt() const { return encoder ? encoder->forward() : flat; }

    std::shared_ptr<Encoder> encoder;  ///< null where P itself is trained
    torch::Tensor flat;
  };

  /// P without dropout and gradient, [tokens, width].
  torch::Tensor finished() const {
    const torch::NoGradGuard no_grad;
    if (!encoder_) return source_->flat.detach();
    const bool training = encoder_->is_training();
    encoder_->eval();
    torch::Tensor prompt = encoder_->forward();
    encoder_->train(training);
    return prompt;
  }

  TensorMap encoder_tensors() const {
    TensorMap tensors;
    if (!encoder_) return tensors;
    for (const auto& item : encoder_->named_parameters()) tensors[kEncoder + item.key()] = item.value();
    return tensors;
  }

  Table config(Model& model) const;

  int64_t tokens_;
  std::string encoder_name_;
  std::optional<int64_t> hidden_;
  int64_t layers_;
  double dropout_;
  int64_t width_ = 0;
  std::shared_ptr<Encoder> encoder_;  ///< null where P itself is trained
  std::shared_ptr<Source> source_ = std::make_shared<Source>();
};

Table PTuning::config(Model& model) const {
  Table config = peft_config("P_TUNING");
  config["num_virtual_tokens"] = tokens_;
  config["token_dim"] = width_;
  config["num_transformer_submodules"] = 1;
  config["num_attention_heads"] = model.facts().heads;
  config["num_layers"] = model.facts().layers;
  config["encoder_reparameterization_type"] = encoder_name_ == "lstm" ? "LSTM" : "MLP";
  config["encoder_hidden_size"] = *hidden_;
  config["encoder_num_layers"] = layers_;
  config["encoder_dropout"] = dropout_;
  config["modules_to_save"] = Value();
  return config;
}

void PTuning::load(Model&, const AdapterFiles& files) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor flat = torch::empty_like(finished());
  copy_tensors(files.tensors, {{"prompt_embeddings", flat}}, "the prompt");
  if (files.extra.empty() && !encoder_) {
    source_->flat.copy_(flat);
    return;
  }
  if (files.extra.empty()) {
    unregister_module("encoder");
    encoder_ = source_->encoder = nullptr;
    source_->flat = register_parameter("prompt_embeddings", flat);
    return;
  }
  const auto fits = [&] { return torch::allclose(finished(), flat, 1e-3, 1e-4); };
  copy_tensors_if(files.extra, encoder_tensors(), "the encoder of the prompt", fits,
                  "the vectors `prompt_embeddings` are not what the encoder beside them gives");
}

Table PTuning::options_from(const Table& adapter_config) const {
  AdapterConfig config(adapter_config, "plugin ptuning");
  config.expect("peft_type", "P_TUNING");
  config.expect("num_transformer_submodules", 1);
  const std::string type = config.get("encoder_reparameterization_type", "MLP");
  if (type != "MLP" && type != "LSTM") {
    throw FormatError("adapter_config.json: `encoder_reparameterization_type` is \"" + type + "\", wanted MLP or LSTM");
  }
  Table options = {{"tokens", config.get<int64_t>("num_virtual_tokens", 20)},
                   {"encoder", type == "LSTM" ? "lstm" : "mlp"}};
  if (const Value* hidden = config.value("encoder_hidden_size")) options["hidden"] = *hidden;
  const auto layers = config.get<int64_t>("encoder_num_layers", 2);
  const double dropout = config.get("encoder_dropout", 0.0);
  // peft reads neither for an MLP, nor the dropout for an LSTM of one layer.
  if (type == "LSTM") options["layers"] = layers;
  if (type == "LSTM" && layers > 1) options["dropout"] = dropout;
  // The sizes follow from the model, and load() compares the tensor with them.
  config.ignore({"token_dim", "num_attention_heads", "num_layers"});
  config.finish();
  return options;
}

}  // namespace

PEFTLAB_PLUGIN(Method, PTuning, "ptuning", "vectors before the input embeddings, made by a trained encoder",
               "arXiv:2103.10385", "P_TUNING")

}  // namespace peftlab
