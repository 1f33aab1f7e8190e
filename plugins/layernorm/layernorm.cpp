/// LayerNorm tuning: the norms' weights and biases are trained, in the type they have, and nothing else.
///
///     y = gamma * (x - mean) / sqrt(var + eps) + beta, of which gamma and beta take a gradient
///
/// An RMS norm has no beta.
/// It adds no parameter and no work, and merging is nothing.
///
/// Source: Zhao et al., "Tuning LayerNorm in Attention: Towards Efficient Multi-Modal LLM Finetuning", ICLR 2024,
/// arXiv:2312.11420. Targets and file are those of Hugging Face peft, which trains copies where this trains the norms
/// themselves. For model types that peft has no targets for, BERT and ChatGLM among them, all norms are meant.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <algorithm>

namespace peftlab {
namespace {

/// Hugging Face peft's targets by model_type.
const std::map<std::string, std::vector<std::string>>& peft_targets() {
  static const std::map<std::string, std::vector<std::string>> known = {
      {"gpt2", {"ln_1", "ln_2", "ln_f"}},
      {"llama", {"input_layernorm", "post_attention_layernorm", "norm"}},
      {"mistral", {"input_layernorm", "post_attention_layernorm", "norm"}},
      {"qwen2", {"post_attention_layernorm"}},
  };
  return known;
}

std::string module_of(const std::string& parameter) { return parameter.substr(0, parameter.rfind('.')); }

/// The model's norms, in order.
std::vector<std::string> norms_of(Model& model) {
  std::vector<std::string> norms;
  for (const std::string& parameter : model.norm_parameters()) {
    if (norms.empty() || norms.back() != module_of(parameter)) norms.push_back(module_of(parameter));
  }
  return norms;
}

class LayerNormTuning final : public Method {
 public:
  explicit LayerNormTuning(Params& p)
      : targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the norms to train; or one regular expression for whole names. As peft for the "
            "model type if left out, all norms where peft names none")) {
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one norm");
    p.check(!targets_ || std::find(targets_->begin(), targets_->end(), "all-linear") == targets_->end(), "targets",
            "must name norms, which \"all-linear\" does not");
  }

  void attach(Model& model, const Tokenizer&) override {
    const auto norms = norms_of(model);
    if (norms.empty()) {
      throw ConfigError("plugin layernorm trains norms, and this model of type `" + model.facts().model_type +
                        "` has none");
    }
    if (!targets_) {
      const auto known = peft_targets().find(model.facts().model_type);
      targets_ = known == peft_targets().end() ? norms : known->second;
    }
    const auto chosen = select_names(norms, *targets_);
    for (const std::string& parameter : model.norm_parameters()) {
      if (std::find(chosen.begin(), chosen.end(), module_of(parameter)) != chosen.end()) names_.push_back(parameter);
    }
    model.train_parameters(names_);
  }

  bool starts_at_base() const override { return true; }

  /// The norms are the model's own: there is nothing to fold.
  void merge(Model&) override {}

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    // All fields that peft 0.21 writes.
    files.config = peft_config("LN_TUNING");
    files.config["target_modules"] = names_for_peft(targets_.value_or(std::vector<std::string>()), {});
    files.config["exclude_modules"] = Value();
    files.config["modules_to_save"] = Value();
    files.tensors = saved_copies(named_tensors(model), /*keep_type=*/true);
    return files;
  }

  void load(Model& model, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the LayerNorm adapter");
    copy_tensors(files.tensors, named_tensors(model), "the LayerNorm adapter");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin layernorm");
    config.expect("peft_type", "LN_TUNING");
    Table options;
    if (const Value* targets = config.value("target_modules")) {
      options["targets"] = names_from_peft(*targets, "target_modules");
    }
    config.finish();
    return options;
  }

 private:
  /// The trained parameters, [width] each, by peft's names: "...input_layernorm.ln_tuning_layers.weight".
  TensorMap named_tensors(const Model& model) const {
    const auto parameters = model.named_parameters();
    TensorMap tensors;
    for (const std::string& name : names_) {
      const std::string norm = module_of(name);
      tensors["base_model.model." + norm + ".ln_tuning_layers" + name.substr(norm.size())] = parameters[name];
    }
    return tensors;
  }

  std::optional<std::vector<std::string>> targets_;
  std::vector<std::string> names_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, LayerNormTuning, "layernorm", "the norms of the model are trained", "arXiv:2312.11420",
               "LN_TUNING")

}  // namespace peftlab
