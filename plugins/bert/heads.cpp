#include "heads.h"

#include <peftlab/nn/first_values.h>
#include <peftlab/nn/product.h>

namespace peftlab::bert {
namespace {

std::shared_ptr<torch::nn::Module> group(torch::nn::Module& parent, const std::string& name) {
  return parent.register_module(name, std::make_shared<torch::nn::Module>(name));
}

/// BERT: classifier(dropout(tanh(pooler(x)))).
class PooledClasses final : public Head {
 public:
  PooledClasses(const Config& config, torch::nn::Module& model, torch::nn::Module& stack)
      : dropout_(config.classifier_dropout) {
    const auto classes = static_cast<int64_t>(config.common.labels.size());
    pooler_ = group(stack, "pooler")->register_module("dense", std::make_shared<Linear>(config.hidden, config.hidden));
    classifier_ = model.register_module("classifier", std::make_shared<Linear>(config.hidden, classes));
  }

  torch::Tensor forward(const torch::Tensor& rows, const torch::Tensor&, bool training) const override {
    return classifier_->forward(torch::dropout(torch::tanh(pooler_->forward(rows)), dropout_, training));
  }

 private:
  std::shared_ptr<Linear> pooler_, classifier_;
  double dropout_;
};

/// RoBERTa: out_proj(dropout(tanh(dense(dropout(x))))).
class DenseClasses final : public Head {
 public:
  DenseClasses(const Config& config, torch::nn::Module& model) : dropout_(config.classifier_dropout) {
    const auto classes = static_cast<int64_t>(config.common.labels.size());
    const auto classifier = group(model, "classifier");
    dense_ = classifier->register_module("dense", std::make_shared<Linear>(config.hidden, config.hidden));
    out_ = classifier->register_module("out_proj", std::make_shared<Linear>(config.hidden, classes));
  }

  torch::Tensor forward(const torch::Tensor& rows, const torch::Tensor&, bool training) const override {
    const auto h = torch::tanh(dense_->forward(torch::dropout(rows, dropout_, training)));
    return out_->forward(torch::dropout(h, dropout_, training));
  }

 private:
  std::shared_ptr<Linear> dense_, out_;
  double dropout_;
};

/// Masked tokens: decoder(LN(activation(dense(x)))) + bias, the decoder tied to the table of words as a rule.
class MaskedTokens final : public Head {
 public:
  MaskedTokens(const Config& config, torch::nn::Module& model)
      : activation_(config.roberta ? activation("gelu") : config.activation) {
    const auto head = config.roberta ? group(model, "lm_head") : group(*group(model, "cls"), "predictions");
    name_ = config.roberta ? "lm_head" : "cls.predictions";
    words_ = config.name() + ".embeddings.word_embeddings.weight";
    const auto transform = config.roberta ? head : group(*head, "transform");
    dense_ = transform->register_module("dense", std::make_shared<Linear>(config.hidden, config.hidden));
    norm_ = transform->register_module(config.roberta ? "layer_norm" : "LayerNorm",
                                       std::make_shared<LayerNorm>(config.hidden, config.eps));
    bias_ = head->register_parameter("bias", empty_parameter({config.vocabulary}));
    if (!config.tied) {
      decoder_ =
          group(*head, "decoder")->register_parameter("weight", empty_parameter({config.vocabulary, config.hidden}));
    }
  }

  torch::Tensor forward(const torch::Tensor& rows, const torch::Tensor& words, bool) const override {
    const auto h = norm_->forward(activation_(dense_->forward(rows)));
    return product(h, decoder_.defined() ? decoder_ : words, bias_);
  }

  std::map<std::string, std::string> tied() const override {
    std::map<std::string, std::string> tied = {{name_ + ".decoder.bias", name_ + ".bias"}};
    if (!decoder_.defined()) tied[name_ + ".decoder.weight"] = words_;
    return tied;
  }

 private:
  std::string name_, words_;
  Activation activation_;
  std::shared_ptr<Linear> dense_;
  std::shared_ptr<LayerNorm> norm_;
  torch::Tensor bias_, decoder_;  // [vocabulary], [vocabulary, hidden]; no decoder_ where it is the table of words
};

}  // namespace

std::unique_ptr<Head> make_head(const Config& config, torch::nn::Module& model, torch::nn::Module& stack) {
  switch (config.common.task) {
    case Task::classification:
      if (config.roberta) return std::make_unique<DenseClasses>(config, model);
      return std::make_unique<PooledClasses>(config, model, stack);
    case Task::masked:
      return std::make_unique<MaskedTokens>(config, model);
    default:
      return nullptr;
  }
}

}  // namespace peftlab::bert
