#include "low_rank/branch.h"
#include "low_rank/options.h"
#include "low_rank/peft_files.h"
#include "low_rank/selection.h"

#include <peftlab/error.h>
#include <peftlab/nn/low_rank.h>

#include <algorithm>
#include <set>

namespace peftlab {
namespace {

using low_rank::Branch;

/// Files name a model's modules after it.
const std::string kModel = "base_model.model.";

std::string text(double weight) { return to_json(Value(weight)); }

}  // namespace

struct LowRank::Parts {
  explicit Parts(Params& params) : options(params) {}

  /// Has the model train the biases that `bias` means. The head of a classifier is trained whole beside every method.
  void choose_biases(Model& model);
  /// The trained biases as files name them: those of adapted maps lie one module deeper there.
  TensorMap saved_biases(const Model& model) const;
  /// Whether a file holds what `init` = "pissa" trained and not where it started, as peft writes it unless told to
  /// convert it. The start is then the one of attach().
  bool holds_trained_half(const TensorMap& tensors) const;

  low_rank::Options options;
  std::vector<std::string> targets;
  low_rank::Selection selection;
  std::vector<std::shared_ptr<Branch>> branches;
  std::vector<std::string> biases;
};

LowRank::LowRank(Params& params) : parts_(std::make_unique<Parts>(params)) {}

LowRank::~LowRank() = default;

void LowRank::attach(Model& model, const Tokenizer&) {
  const auto& options = parts_->options;
  parts_->targets = options.targets.value_or(model.default_lora_targets());
  parts_->selection = low_rank::select(model, options, parts_->targets);
  const low_rank::Patterns ranks(options.rank_pattern, "rank_pattern", model);
  const low_rank::Patterns alphas(options.alpha_pattern, "alpha_pattern", model);
  for (Linear* site : parts_->selection.adapted) {
    const Value* rank = ranks.find(site->name);
    const Value* alpha = alphas.find(site->name);
    parts_->branches.push_back(std::make_shared<Branch>(*site, options, rank ? *rank->get_if<int64_t>() : options.rank,
                                                        alpha ? low_rank::number(*alpha) : options.alpha));
  }
  for (const auto& branch : parts_->branches) {
    register_module(flat_name(branch->site.name), branch);
    branch->site.extend([branch](const torch::Tensor& x, const Linear::Map& next) { return branch->forward(x, next); });
  }
  parts_->choose_biases(model);
}

void LowRank::merge(Model&) {
  for (const auto& branch : parts_->branches) branch->check_merge();
  for (const auto& branch : parts_->branches) branch->merge();
}

void LowRank::unmerge(Model&) {
  for (const auto& branch : parts_->branches) branch->check_unmerge();
  for (const auto& branch : parts_->branches) branch->unmerge();
}

void LowRank::weigh(double weight) {
  const auto& options = parts_->options;
  if (weight == 1.0 && parts_->branches.front()->times == 1.0) return;
  if (options.dora) throw UnsupportedError("DoRA stretches the weight itself and counts once, not " + text(weight));
  if (options.bias != "none") {
    throw UnsupportedError("a LoRA with trained biases (`bias` = \"" + options.bias + "\") counts once, not " +
                           text(weight));
  }
  for (const auto& branch : parts_->branches) {
    if (branch->merged()) throw UnsupportedError("this LoRA is folded into the weights already");
  }
  for (const auto& branch : parts_->branches) branch->times = weight;
}

double LowRank::rate_factor(const std::string& parameter) const {
  return parameter.ends_with(".lora_A") ? 1.0 : parts_->options.loraplus_ratio;
}

AdapterFiles LowRank::save(Model& model) const {
  const bool transposed = std::any_of(parts_->branches.begin(), parts_->branches.end(), [&](const auto& branch) {
    return model.is_stored_transposed(branch->site.name + ".weight");
  });
  AdapterFiles files;
  files.config = low_rank::adapter_config(parts_->options, parts_->targets, parts_->selection, transposed);
  for (const auto& branch : parts_->branches) {
    const std::string site = kModel + branch->site.name;
    files.tensors[site + ".lora_A.weight"] = branch->whole_a();
    files.tensors[site + ".lora_B.weight"] = branch->whole_b();
    if (parts_->options.dora) files.tensors[site + ".lora_magnitude_vector"] = branch->magnitude;
  }
  for (const auto& [name, bias] : parts_->saved_biases(model)) files.tensors[name] = bias;
  files.tensors = saved_copies(files.tensors, /*keep_type=*/true);  // biases in the base's type
  return files;
}

void LowRank::load(Model& model, const AdapterFiles& files) {
  copy_tensors(files.extra, {}, "the extra file of the LoRA adapter");
  // All is checked and read before anything takes it.
  const bool whole = !parts_->holds_trained_half(files.tensors);
  TensorMap read;
  for (const auto& branch : parts_->branches) {
    const std::string site = kModel + branch->site.name;
    read[site + ".lora_A.weight"] = torch::empty_like(whole ? branch->whole_a() : branch->a.detach());
    read[site + ".lora_B.weight"] = torch::empty_like(whole ? branch->whole_b() : branch->b.detach());
    if (parts_->options.dora) read[site + ".lora_magnitude_vector"] = branch->magnitude;
  }
  for (const auto& [name, bias] : parts_->saved_biases(model)) read[name] = bias;
  copy_tensors(files.tensors, read, "the LoRA adapter");
  for (const auto& branch : parts_->branches) {
    const std::string site = kModel + branch->site.name;
    branch->take(read.at(site + ".lora_A.weight"), read.at(site + ".lora_B.weight"));
  }
}

Table LowRank::options_from(const Table& adapter_config) const { return low_rank::options_from(adapter_config); }

void LowRank::Parts::choose_biases(Model& model) {
  if (options.bias == "none") return;
  const std::string head = model.classification_head();
  std::set<std::string> adapted;
  for (const auto& branch : branches) adapted.insert(branch->site.name + ".bias");
  for (const auto& item : model.named_parameters()) {
    const std::string& name = item.key();
    if (!name.ends_with(".bias") || (!head.empty() && name.starts_with(head + "."))) continue;
    if (options.bias == "all" || adapted.count(name)) biases.push_back(name);
  }
  model.train_parameters(biases);
}

TensorMap LowRank::Parts::saved_biases(const Model& model) const {
  const auto parameters = model.named_parameters();
  std::set<std::string> adapted;
  for (const auto& branch : branches) adapted.insert(branch->site.name);
  TensorMap tensors;
  for (const std::string& name : biases) {
    const std::string module = name.substr(0, name.rfind('.'));
    tensors[kModel + module + (adapted.count(module) ? ".base_layer.bias" : ".bias")] = parameters[name];
  }
  return tensors;
}

bool LowRank::Parts::holds_trained_half(const TensorMap& tensors) const {
  if (options.init != low_rank::kPissa) return false;
  const Branch& branch = *branches.front();
  const auto found = tensors.find(kModel + branch.site.name + ".lora_A.weight");
  return found != tensors.end() && found->second.dim() == 2 && found->second.size(0) == branch.a.size(0);
}

}  // namespace peftlab
