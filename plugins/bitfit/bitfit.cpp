/// BitFit: the biases of the model are trained, in the type they have, and nothing else.
///
///     y = W x + b, of which b takes a gradient; so does the beta of every LayerNorm
///
/// It adds no parameter and no work, and merging is nothing. A model without biases (LLaMA) has nothing to train this
/// way. Named targets give the paper's smaller variants, such as the queries' and the first feed-forward map's.
///
/// Source: Ben Zaken, Ravfogel and Goldberg, "BitFit: Simple Parameter-efficient Fine-tuning for Transformer-based
/// Masked Language-models", ACL 2022, arXiv:2106.10199. Neither peft nor `adapters` has a file for it: ours holds the
/// biases under their names in the model.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <algorithm>

namespace peftlab {
namespace {

/// The modules of the model that have a bias, in order. The head of a classifier is not among them: it is trained whole
/// beside every method.
std::vector<std::string> biased_modules(const Model& model) {
  constexpr std::string_view kBias = ".bias";
  const std::string head = model.classification_head();
  std::vector<std::string> modules;
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    if (!name.ends_with(kBias) || (!head.empty() && name.starts_with(head + "."))) continue;
    modules.push_back(name.substr(0, name.size() - kBias.size()));
  }
  return modules;
}

class BitFit final : public Method {
 public:
  explicit BitFit(Params& p)
      : targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the modules whose biases are trained; or one regular expression for whole names. "
            "All biases if left out")) {
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one module");
    p.check(!targets_ || std::find(targets_->begin(), targets_->end(), "all-linear") == targets_->end(), "targets",
            "must name modules with a bias, which \"all-linear\" does not");
  }

  void attach(Model& model, const Tokenizer&) override {
    std::vector<std::string> modules = biased_modules(model);
    if (modules.empty()) {
      throw UnsupportedError("plugin bitfit trains biases, and this model of type `" + model.facts().model_type +
                             "` has none");
    }
    if (targets_) modules = select_names(modules, *targets_);
    for (const std::string& module : modules) names_.push_back(module + ".bias");
    model.train_parameters(names_);
  }

  bool starts_at_base() const override { return true; }

  /// The biases are the model's own: there is nothing to fold.
  void merge(Model&) override {}

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = {{"peft_type", "BITFIT"}, {"target_modules", Value()}};
    if (targets_) files.config["target_modules"] = names_for_peft(*targets_, {});
    files.tensors = saved_copies(biases(model), /*keep_type=*/true);
    return files;
  }

  void load(Model& model, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the BitFit adapter");
    copy_tensors(files.tensors, biases(model), "the BitFit adapter");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin bitfit");
    config.expect("peft_type", "BITFIT");
    Table options;
    if (const Value* targets = config.value("target_modules")) {
      options["targets"] = names_from_peft(*targets, "target_modules");
    }
    config.finish();
    return options;
  }

 private:
  /// The trained biases by name, each [out] or [width].
  TensorMap biases(const Model& model) const {
    const auto parameters = model.named_parameters();
    TensorMap tensors;
    for (const std::string& name : names_) tensors[name] = parameters[name];
    return tensors;
  }

  std::optional<std::vector<std::string>> targets_;
  std::vector<std::string> names_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, BitFit, "bitfit", "the biases of the model are trained", "arXiv:2106.10199", "BITFIT")

}  // namespace peftlab
