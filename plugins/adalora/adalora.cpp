/// AdaLoRA: low-rank updates in the form of a singular value decomposition, of which training keeps the parts that
/// matter most.
///
///     y = W x + b + s B diag(E) A dropout(x)        A: [r, in]    E: [r]    B: [out, r]    s = alpha / (r + 1e-5)
///
/// E starts at zero, so a freshly attached model computes what its base does. The loss gets, with R the orthogonality,
///
///     R times the mean over all A and B of |A A^T - I|, and of |B^T B - I|, Frobenius norms,
///
/// and every triplet (a row of A, an entry of E, a column of B) has a score: that of its E plus the means of those of
/// its A and B, where an entry w with gradient g scores I U of the running means
///
///     I = beta1 I + (1 - beta1) |w g|        U = beta2 U + (1 - beta2) | |w g| - I |.
///
/// From `rank` times the number of maps the budget of triplets falls by a cubic law to `target_rank` times it. Those
/// beyond it with the least scores in all maps together get E = 0, and may come back until the budget has settled.
///
/// Source: Zhang et al., "Adaptive Budget Allocation for Parameter-Efficient Fine-Tuning", ICLR 2023, section 3,
/// arXiv:2303.10512. First values, schedule and file are Hugging Face peft's, and so are the differences: the norms are
/// not squared, s divides by the rank at the start, and with equal scores more goes than the budget asks. Steps count
/// from 0 in the schedule, as transformers tells them to peft's users. Two are ours: the norms are float32 in mixed
/// precision too, and the choice is enforced once more after the last step, so that the model is the one that is saved.

#include "files.h"
#include "schedule.h"
#include "settings.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

using adalora::Branch;

/// Hugging Face peft's own targets for AdaLoRA, where they are not those of LoRA.
std::vector<std::string> default_targets(const Model& model) {
  if (model.facts().model_type == "roberta") return {"query", "key", "value", "dense"};
  return model.default_lora_targets();
}

class AdaLora final : public Method {
 public:
  explicit AdaLora(Params& p) : settings_(p) {}

  void attach(Model& model, const Tokenizer&) override {
    if (!settings_.targets) settings_.targets = default_targets(model);
    for (Linear* site : model.linear_sites(*settings_.targets)) {
      auto branch = std::make_shared<Branch>(*site, settings_.rank, settings_.alpha, settings_.dropout);
      register_module(flat_name(site->name), branch);
      site->extend([branch](const torch::Tensor& x, const Linear::Map& next) { return branch->forward(x, next); });
      branches_.push_back(branch);
    }
  }

  bool starts_at_base() const override { return true; }

  void begin_training(int64_t steps) override;
  torch::Tensor penalty() const override;
  void after_step(int64_t step) override;

  void merge(Model&) override {
    refuse_if_merged();
    for (const auto& branch : branches_) branch->merge();
  }

  void unmerge(Model&) override {
    if (branches_.empty() || !branches_.front()->merged()) {
      throw UnsupportedError("this AdaLoRA is not folded into the weights");
    }
    for (const auto& branch : branches_) branch->unmerge();
  }

  void weigh(double weight) override {
    refuse_if_merged();
    for (const auto& branch : branches_) branch->weight = weight;
  }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = config(model);
    files.tensors = adalora::tensors_of(branches_);
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    const int64_t steps = AdapterConfig(files.config, "plugin adalora").get<int64_t>("total_step", 0);
    adalora::read(branches_, files);
    steps_ = steps;
  }

  Table options_from(const Table& adapter_config) const override { return adalora::options_from(adapter_config); }

 private:
  void refuse_if_merged() const {
    if (!branches_.empty() && branches_.front()->merged()) {
      throw UnsupportedError("this AdaLoRA is folded into the weights already");
    }
  }

  void choose(int64_t budget);
  Table config(const Model& model) const;

  adalora::Settings settings_;
  int64_t steps_ = 0;  ///< of the training, 0 while that is not known
  adalora::Branches branches_;
};

void AdaLora::begin_training(int64_t steps) {
  // The sum could overflow.
  if (settings_.warmup_steps >= steps || settings_.final_steps >= steps - settings_.warmup_steps) {
    throw ConfigError("plugin adalora: `warmup_steps` = " + std::to_string(settings_.warmup_steps) +
                      " and `final_steps` = " + std::to_string(settings_.final_steps) + " leave none of the " +
                      std::to_string(steps) +
                      " steps of the training for the rank to fall; together they must be fewer");
  }
  steps_ = steps;
}

torch::Tensor AdaLora::penalty() const {
  if (settings_.orthogonality == 0 || branches_.empty()) return {};
  torch::Tensor sum;
  for (const auto& branch : branches_) {
    const torch::Tensor distance = branch->distance_to_orthogonal();
    sum = sum.defined() ? sum + distance : distance;
  }
  return settings_.orthogonality * sum / static_cast<double>(2 * branches_.size());
}

void AdaLora::after_step(int64_t step) {
  const auto maps = static_cast<int64_t>(branches_.size());
  const adalora::Schedule schedule{.initial = settings_.rank * maps,
                                   .target = settings_.target_rank * maps,
                                   .warmup = settings_.warmup_steps,
                                   .end = steps_ - settings_.final_steps,
                                   .interval = settings_.interval};
  const int64_t from_zero = step - 1;
  if (from_zero < schedule.end) {
    for (const auto& branch : branches_) branch->measure(settings_.beta1, settings_.beta2);
    if (schedule.chooses(from_zero)) choose(schedule.budget(from_zero));
  } else {
    // The scores stand still from here on, and so does the choice. It is not left to the step `end` alone, as loss
    // scaling may skip that one.
    choose(schedule.target);
  }
  if (step == steps_) {
    for (const auto& branch : branches_) branch->prune();
  }
}

/// Keeps the best `budget` triplets of all maps.
void AdaLora::choose(int64_t budget) {
  std::vector<torch::Tensor> scores;
  for (const auto& branch : branches_) scores.push_back(branch->scores());
  const torch::Tensor all = torch::cat(scores);
  const int64_t surplus = all.size(0) - budget;
  if (surplus < 1) return;
  const torch::Tensor threshold = std::get<0>(all.kthvalue(surplus));
  for (size_t i = 0; i < scores.size(); ++i) branches_[i]->choose(scores[i] > threshold);
}

Table AdaLora::config(const Model& model) const {
  std::vector<std::string> chosen;
  bool transposed = false;
  for (const auto& branch : branches_) {
    chosen.push_back(branch->site.name);
    transposed |= model.is_stored_transposed(branch->site.name + ".weight");
  }
  Table config = adalora::peft_fields(settings_, chosen);
  if (steps_ > 0) config["total_step"] = steps_;
  config["rank_pattern"] = adalora::pattern_of(branches_);
  config["fan_in_fan_out"] = transposed;
  return config;
}

}  // namespace

PEFTLAB_PLUGIN(Method, AdaLora, "adalora", "low-rank updates whose ranks training allots", "arXiv:2303.10512",
               "ADALORA")

}  // namespace peftlab
