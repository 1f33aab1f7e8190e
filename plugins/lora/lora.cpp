/// LoRA: beside each chosen frozen linear map W, a trained map of rank r.
///
///     y = W x + b + s B A dropout(x)        A: [r, in]    B: [out, r]    s = alpha / r
///
/// A starts Kaiming-uniform and B at zero, so a freshly attached model computes what its base does. Variants:
///
/// - `rslora`: s = alpha / sqrt(r).
/// - `dora`: the rows of W + s B A are stretched to trained lengths m, at first those of W's rows:
///
///       y = m / |W + s B A| (W + s B A) x + b, the norm of a row taken as a constant in the backward pass.
///
/// - `init` = "pissa": of W = U S V^T, A = sqrt(S / s) V^T and B = U sqrt(S / s) for the r largest S, and what is left
///   of W is frozen:
///
///       y = (W - s B_0 A_0) x + b + s B A dropout(x)
///
///   W itself stays as it is here: the base's file can be shared, a 16-bit W is not rounded once more, and the start is
///   the base's to the bit. Its file is the plain LoRA [B, -B_0] [A; A_0] of rank 2 r, as peft converts it, which any
///   reader can put on the untouched base. Read here, it is computed as it was trained (`frozen_half`).
/// - `loraplus_ratio`: B and m learn so many times as fast as A.
/// - `bias`: biases of the base are trained as well, and saved.
///
/// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1, arXiv:2106.09685;
/// Kalajdzievski, "A Rank Stabilization Scaling Factor", 2023, arXiv:2312.03732; Liu et al., "DoRA: Weight-Decomposed
/// Low-Rank Adaptation", ICML 2024, equation 5 and section 4.3, arXiv:2402.09353; Meng et al., "PiSSA: Principal
/// Singular Values and Singular Vectors Adaptation", NeurIPS 2024, equations 2 to 4, arXiv:2404.02948; Hayou et al.,
/// "LoRA+: Efficient Low Rank Adaptation of Large Models", ICML 2024, arXiv:2402.12354. First values, dropout and files
/// are Hugging Face peft's. Differences: the paper draws A from a Gaussian, `init` = "gaussian" of deviation 1 / r in
/// peft; peft takes m of a 16-bit W in 16 bits, which moves the start off the base, where m is float32 here; it rounds
/// PiSSA's A, B and frozen weight to a 16-bit base's type.

#include "branch.h"
#include "options.h"
#include "peft_files.h"
#include "selection.h"

#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <algorithm>
#include <set>

namespace peftlab::lora {
namespace {

/// Files name a model's modules after it.
const std::string kModel = "base_model.model.";

class Lora final : public Method {
 public:
  explicit Lora(Params& p) : options_(p) {}

  void attach(Model& model, const Tokenizer&) override {
    targets_ = options_.targets.value_or(model.default_lora_targets());
    selection_ = select(model, options_, targets_);
    const Patterns ranks(options_.rank_pattern, "rank_pattern", model);
    const Patterns alphas(options_.alpha_pattern, "alpha_pattern", model);
    for (Linear* site : selection_.adapted) {
      const Value* rank = ranks.find(site->name);
      const Value* alpha = alphas.find(site->name);
      branches_.push_back(std::make_shared<Branch>(*site, options_, rank ? *rank->get_if<int64_t>() : options_.rank,
                                                   alpha ? number(*alpha) : options_.alpha));
    }
    for (const auto& branch : branches_) {
      register_module(flat_name(branch->site.name), branch);
      branch->site.extend(
          [branch](const torch::Tensor& x, const Linear::Map& next) { return branch->forward(x, next); });
    }
    choose_biases(model);
  }

  bool starts_at_base() const override { return true; }

  void merge(Model&) override {
    for (const auto& branch : branches_) branch->check_merge();
    for (const auto& branch : branches_) branch->merge();
  }

  void unmerge(Model&) override {
    for (const auto& branch : branches_) branch->check_unmerge();
    for (const auto& branch : branches_) branch->unmerge();
  }

  void weigh(double weight) override {
    if (weight == 1.0 && branches_.front()->times == 1.0) return;
    if (options_.dora) throw UnsupportedError("DoRA stretches the weight itself and counts once, not " + text(weight));
    if (options_.bias != "none") {
      throw UnsupportedError("a LoRA with trained biases (`bias` = \"" + options_.bias + "\") counts once, not " +
                             text(weight));
    }
    for (const auto& branch : branches_) {
      if (branch->merged()) throw UnsupportedError("this LoRA is folded into the weights already");
    }
    for (const auto& branch : branches_) branch->times = weight;
  }

  double rate_factor(const std::string& parameter) const override {
    return parameter.ends_with(".lora_A") ? 1.0 : options_.loraplus_ratio;
  }

  AdapterFiles save(Model& model) const override {
    const bool transposed = std::any_of(branches_.begin(), branches_.end(), [&](const auto& branch) {
      return model.is_stored_transposed(branch->site.name + ".weight");
    });
    AdapterFiles files;
    files.config = adapter_config(options_, targets_, selection_, transposed);
    for (const auto& branch : branches_) {
      const std::string site = kModel + branch->site.name;
      files.tensors[site + ".lora_A.weight"] = branch->whole_a();
      files.tensors[site + ".lora_B.weight"] = branch->whole_b();
      if (options_.dora) files.tensors[site + ".lora_magnitude_vector"] = branch->magnitude;
    }
    for (const auto& [name, bias] : saved_biases(model)) files.tensors[name] = bias;
    files.tensors = saved_copies(files.tensors, /*keep_type=*/true);  // biases in the base's type
    return files;
  }

  void load(Model& model, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the LoRA adapter");
    // All is checked and read before anything takes it.
    const bool whole = !holds_trained_half(files.tensors);
    TensorMap read;
    for (const auto& branch : branches_) {
      const std::string site = kModel + branch->site.name;
      read[site + ".lora_A.weight"] = torch::empty_like(whole ? branch->whole_a() : branch->a.detach());
      read[site + ".lora_B.weight"] = torch::empty_like(whole ? branch->whole_b() : branch->b.detach());
      if (options_.dora) read[site + ".lora_magnitude_vector"] = branch->magnitude;
    }
    for (const auto& [name, bias] : saved_biases(model)) read[name] = bias;
    copy_tensors(files.tensors, read, "the LoRA adapter");
    for (const auto& branch : branches_) {
      const std::string site = kModel + branch->site.name;
      branch->take(read.at(site + ".lora_A.weight"), read.at(site + ".lora_B.weight"));
    }
  }

  Table options_from(const Table& adapter_config) const override { return lora::options_from(adapter_config); }

 private:
  static std::string text(double weight) { return to_json(Value(weight)); }

  /// Has the model train the biases that `bias` means. The head of a classifier is trained whole beside every method.
  void choose_biases(Model& model) {
    if (options_.bias == "none") return;
    const std::string head = model.classification_head();
    std::set<std::string> adapted;
    for (const auto& branch : branches_) adapted.insert(branch->site.name + ".bias");
    for (const auto& item : model.named_parameters()) {
      const std::string& name = item.key();
      if (!name.ends_with(".bias") || (!head.empty() && name.starts_with(head + "."))) continue;
      if (options_.bias == "all" || adapted.count(name)) biases_.push_back(name);
    }
    model.train_parameters(biases_);
  }

  /// The trained biases as files name them: those of adapted maps lie one module deeper there.
  TensorMap saved_biases(const Model& model) const {
    const auto parameters = model.named_parameters();
    std::set<std::string> adapted;
    for (const auto& branch : branches_) adapted.insert(branch->site.name);
    TensorMap tensors;
    for (const std::string& name : biases_) {
      const std::string module = name.substr(0, name.rfind('.'));
      tensors[kModel + module + (adapted.count(module) ? ".base_layer.bias" : ".bias")] = parameters[name];
    }
    return tensors;
  }

  /// Whether a file holds what `init` = "pissa" trained and not where it started, as peft writes it unless told to
  /// convert it. The start is then the one of attach().
  bool holds_trained_half(const TensorMap& tensors) const {
    if (options_.init != kPissa) return false;
    const Branch& branch = *branches_.front();
    const auto found = tensors.find(kModel + branch.site.name + ".lora_A.weight");
    return found != tensors.end() && found->second.dim() == 2 && found->second.size(0) == branch.a.size(0);
  }

  Options options_;
  std::vector<std::string> targets_;
  Selection selection_;
  std::vector<std::shared_ptr<Branch>> branches_;
  std::vector<std::string> biases_;
};

}  // namespace
}  // namespace peftlab::lora

namespace peftlab {

PEFTLAB_PLUGIN(Method, lora::Lora, "lora", "trained low-rank update of linear maps", "arXiv:2106.09685", "LORA")

}  // namespace peftlab
