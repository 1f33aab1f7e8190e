/// IA3: trained vectors l that scale what passes chosen frozen linear maps.
///
///     y = l * (W x + b)        l: [out]    keys and values
///     y = W (l * x) + b        l: [in]     the second map of the feed-forward part
///
/// All l start at one, so a freshly attached model computes what its base does. One vector serves all tokens, so the
/// scales fold into the weights: rows of W and b, or columns of W.
///
/// Source: Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning is Better and Cheaper than In-Context Learning",
/// NeurIPS 2022, section 3.3, arXiv:2205.05638. Targets, first values and file are Hugging Face peft's, and so are the
/// differences: a fused map (`c_attn`, `query_key_value`) is scaled over all its rows, queries too, and `output.dense`
/// of BERT also means the map after the attention, whose input is then scaled. The paper's further losses and its
/// pre-training of l are not here.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <algorithm>
#include <regex>

namespace peftlab {
namespace {

/// What is scaled where nothing else is said.
struct Choice {
  std::vector<std::string> targets;
  std::vector<std::string> feedforward;
};

/// By model_type: Hugging Face peft's; for ChatGLM, which it does not know, as for the other models with those names.
const std::map<std::string, Choice>& choices() {
  static const std::map<std::string, Choice> known = {
      {"bert", {{"key", "value", "output.dense"}, {"output.dense"}}},
      {"chatglm", {{"query_key_value", "mlp.dense_4h_to_h"}, {"mlp.dense_4h_to_h"}}},
      {"gpt2", {{"c_attn", "mlp.c_proj"}, {"mlp.c_proj"}}},
      {"llama", {{"k_proj", "v_proj", "down_proj"}, {"down_proj"}}},
      {"mistral", {{"k_proj", "v_proj", "down_proj"}, {"down_proj"}}},
      {"qwen2", {{"q_proj", "v_proj", "down_proj"}, {"down_proj"}}},
      {"roberta", {{"key", "value", "output.dense"}, {"output.dense"}}},
  };
  return known;
}

/// Which maps are scaled at their input, by peft's rule: a name ends with one of the texts, be it in the middle of a
/// word; a single text that holds a character special to regular expressions is a pattern for the whole name.
class Feedforward {
 public:
  explicit Feedforward(std::vector<std::string> ends) : ends_(std::move(ends)) {
    if (ends_.size() != 1 || ends_[0].find_first_of("^$*+?()[]{}|\\") == std::string::npos) return;
    try {
      pattern_.emplace(ends_[0]);
    } catch (const std::regex_error& error) {
      throw ConfigError("feedforward `" + ends_[0] + "` is no regular expression: " + error.what());
    }
  }

  bool holds(const std::string& name) const {
    if (pattern_) return std::regex_match(name, *pattern_);
    return std::any_of(ends_.begin(), ends_.end(), [&](const std::string& end) { return name.ends_with(end); });
  }

  /// Throws: ConfigError naming the text that means none of `sites`.
  void check(const std::vector<Linear*>& sites) const {
    std::vector<std::string> names;
    for (const Linear* site : sites) names.push_back(site->name);
    for (const std::string& end : ends_) {
      const auto meant = [&](const std::string& name) { return pattern_ ? holds(name) : name.ends_with(end); };
      if (std::any_of(names.begin(), names.end(), meant)) continue;
      throw ConfigError("feedforward `" + end + "` names none of the maps that `targets` names. " +
                        suggestion(end, names));
    }
  }

 private:
  std::vector<std::string> ends_;
  std::optional<std::regex> pattern_;
};

/// The scales of one site, float32 whatever the base's type.
struct Scale : torch::nn::Module {
  Scale(Linear& site, bool at_input) : site(site), at_input(at_input) {
    const std::vector<int64_t> shape = at_input ? std::vector<int64_t>{1, site.in} : std::vector<int64_t>{site.out, 1};
    // peft draws normal values and overwrites them: the draws are taken, so that what follows starts as it does there.
    torch::randn(shape);
    scales =
        register_parameter("ia3_l", torch::ones(shape, torch::dtype(torch::kFloat32).device(site.device())));
  }

  /// x [..., in] -> [..., out]; the product is made in float32 and rounded back.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) const {
    if (merged) return next(x);
    if (at_input) return next((x * scales.flatten()).to(x.scalar_type()));
    const torch::Tensor y = next(x);
    return (y * scales.flatten()).to(y.scalar_type());
  }

  /// Scales the site's columns or rows, and its bias with the rows.
  void merge() {
    const torch::NoGradGuard no_grad;
    site.set_weight({(site.weight_as(torch::kFloat32) * scales).to(site.dtype()), nullptr});
    if (!at_input && site.bias.defined()) site.bias.copy_(site.bias.to(torch::kFloat32) * scales.flatten());
    merged = true;
  }

  Linear& site;
  bool at_input;
  bool merged = false;
  torch::Tensor scales;  ///< [1, in] or [out, 1]
};

class Ia3 final : public Method {
 public:
  explicit Ia3(Params& p)
      : targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the linear maps to scale; \"all-linear\"; or one regular expression for "
            "whole names. As peft for the model type if left out")),
        feedforward_(p.get_optional<std::vector<std::string>>(
            "feedforward",
            "ends of the names of those among them that are scaled at their input; or one regular expression. As "
            "peft for the model type if left out")) {
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one linear map");
  }

  void attach(Model& model, const Tokenizer&) override {
    const bool given = feedforward_.has_value();
    choose(model.facts().model_type);
    const auto sites = model.linear_sites(*targets_);
    const Feedforward feedforward(*feedforward_);
    // What the model type has by default may stand outside of the targets that were given.
    if (given) feedforward.check(sites);
    for (Linear* site : sites) {
      auto scale = std::make_shared<Scale>(*site, feedforward.holds(site->name));
      register_module(flat_name(site->name), scale);
      site->extend([scale](const torch::Tensor& x, const Linear::Map& next) { return scale->forward(x, next); });
      scales_.push_back(scale);
    }
  }

  bool starts_at_base() const override { return true; }

  /// What was attached before must be folded before.
  void merge(Model&) override {
    for (const auto& scale : scales_) {
      if (scale->merged) throw UnsupportedError("these IA3 scales are folded into the weights already");
    }
    for (const auto& scale : scales_) scale->merge();
  }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = config(model);
    files.tensors = saved_copies(named_tensors());
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the IA3 adapter");
    copy_tensors(files.tensors, named_tensors(), "the IA3 adapter");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin ia3");
    config.expect("peft_type", "IA3");
    Table options;
    if (const Value* targets = config.value("target_modules")) {
      options["targets"] = names_from_peft(*targets, "target_modules");
    }
    if (const Value* feedforward = config.value("feedforward_modules")) {
      options["feedforward"] = names_from_peft(*feedforward, "feedforward_modules");
    }
    // Without first values of one peft draws them; the file's values replace either. fan_in_fan_out says how the base's
    // file lies; the scales are the same either way.
    config.ignore({"init_ia3_weights", "fan_in_fan_out"});
    config.finish();
    return options;
  }

 private:
  /// Takes peft's choice for the model type where there is none.
  void choose(const std::string& model_type) {
    if (targets_ && feedforward_) return;
    const auto found = choices().find(model_type);
    if (found == choices().end()) {
      std::vector<std::string> known;
      for (const auto& [type, choice] : choices()) known.push_back(type);
      throw ConfigError("plugin ia3 does not know what to scale in a model of type `" + model_type +
                        "`: give `targets` and `feedforward`. " + suggestion(model_type, known));
    }
    if (!targets_) targets_ = found->second.targets;
    if (!feedforward_) feedforward_ = found->second.feedforward;
  }

  TensorMap named_tensors() const {
    TensorMap tensors;
    for (const auto& scale : scales_) tensors["base_model.model." + scale->site.name + ".ia3_l"] = scale->scales;
    return tensors;
  }

  static bool before(const Value& a, const Value& b) { return *a.get_if<std::string>() < *b.get_if<std::string>(); }

  /// All fields that peft 0.21 writes.
  Table config(const Model& model) const {
    Table config = peft_config("IA3");
    std::vector<std::string> chosen, at_input;
    bool transposed = false;
    for (const auto& scale : scales_) {
      chosen.push_back(scale->site.name);
      if (scale->at_input) at_input.push_back(scale->site.name);
      transposed |= model.is_stored_transposed(scale->site.name + ".weight");
    }
    config["target_modules"] = names_for_peft(*targets_, chosen);
    config["feedforward_modules"] = names_for_peft(*feedforward_, at_input);
    const List* targets = config["target_modules"].get_if<List>();
    const List* feedforward = config["feedforward_modules"].get_if<List>();
    // peft reads the file only if each of these is among the targets, where both are lists.
    if (targets && feedforward &&
        !std::includes(targets->begin(), targets->end(), feedforward->begin(), feedforward->end(), before)) {
      config["target_modules"] = names_for_peft(chosen, chosen);
      config["feedforward_modules"] = names_for_peft(at_input, at_input);
    }
    config["fan_in_fan_out"] = transposed;
    config["init_ia3_weights"] = true;
    config["exclude_modules"] = Value();
    config["modules_to_save"] = Value();
    return config;
  }

  std::optional<std::vector<std::string>> targets_, feedforward_;
  std::vector<std::shared_ptr<Scale>> scales_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Ia3, "ia3", "trained scales of keys, values and feed-forward activations", "arXiv:2205.05638",
               "IA3")

}  // namespace peftlab
