/// LoRA: beside each chosen frozen linear map W, a trained map of rank r.
///
///     y = W x + b + s B A dropout(x)        A: [r, in]    B: [out, r]    s = alpha / r
///
/// A starts Kaiming-uniform and B at zero, so a freshly attached model computes what its base does. With `rslora`,
/// s = alpha / sqrt(r). With `dora`, the rows of W + s B A are stretched to trained lengths m, at first those of W's
/// rows:
///
///     y = m / |W + s B A| (W + s B A) x + b, the norm of a row taken as a constant in the backward pass.
///
/// Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, section 4.1, arXiv:2106.09685;
/// Kalajdzievski, "A Rank Stabilization Scaling Factor", 2023, arXiv:2312.03732; Liu et al., "DoRA: Weight-Decomposed
/// Low-Rank Adaptation", ICML 2024, equation 5 and section 4.3, arXiv:2402.09353. First values, dropout and file are
/// Hugging Face peft's. Differences: the paper draws A from a Gaussian; peft takes m of a 16-bit W in 16 bits, which
/// moves the start off the base, where m is float32 here.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <cmath>

namespace peftlab {
namespace {

struct Settings {
  int64_t rank;
  double scale;
  double dropout;
  bool dora;
};

/// The length of every row: [out, in] -> [out].
torch::Tensor row_lengths(const torch::Tensor& weight) { return torch::linalg_vector_norm(weight, 2, {1}); }

/// The trained update of one site. Its numbers are float32 whatever the base's type.
struct Branch : torch::nn::Module {
  Branch(Linear& site, const Settings& settings) : site(site), settings(settings), shares_site(site.extended()) {
    // peft makes two torch.nn.Linear before it draws A: their draws are taken from the generator and dropped.
    Linear(site.in, settings.rank, /*with_bias=*/false);
    Linear(settings.rank, site.out, /*with_bias=*/false);
    auto first = torch::empty({settings.rank, site.in}, torch::kFloat32);
    torch::nn::init::kaiming_uniform_(first, std::sqrt(5.0));
    // peft keeps A in the base's type for a moment, so a 16-bit base rounds it.
    first = first.to(site.weight.scalar_type()).to(site.weight.device(), torch::kFloat32);
    a = register_parameter("lora_A", first);
    b = register_parameter("lora_B", torch::zeros({site.out, settings.rank}, first.options()));
    if (settings.dora) {
      magnitude = register_parameter("lora_magnitude_vector", row_lengths(site.weight.detach().to(torch::kFloat32)));
    }
  }

  /// s B A, [out, in].
  torch::Tensor update() const { return settings.scale * torch::mm(b, a); }

  /// m / |W + s B A| per row, [out]. A row of zeros keeps its length 0 instead of dividing by it.
  torch::Tensor stretch(const torch::Tensor& weight) const {
    torch::Tensor lengths;
    {
      const torch::NoGradGuard constant;
      lengths = row_lengths(weight + update());
      lengths.masked_fill_(lengths == 0, 1.0);
    }
    return magnitude / lengths;
  }

  /// x [..., in] -> [..., out], in the type that `next` answers in.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) {
    const torch::Tensor y = next(x);
    if (merged) return y;
    const bool drops = settings.dropout > 0 && is_training();
    const torch::Tensor input = torch::dropout(x.to(a.scalar_type()), settings.dropout, drops);
    // The scale is applied where the tensor is narrow.
    const torch::Tensor low = torch::linear(torch::linear(input, a) * settings.scale, b);
    if (!settings.dora) return (y + low).to(y.scalar_type());

    const torch::Tensor weight = site.weight.to(a.scalar_type());
    const torch::Tensor c = stretch(weight);
    torch::Tensor plain;  // W x, of the dropped x as in peft, and without what other methods add
    if (drops || shares_site) {
      plain = torch::linear(input, weight);
    } else {
      plain = site.bias.defined() ? y - site.bias : y;
    }
    return (y + (c - 1) * plain + c * low).to(y.scalar_type());
  }

  /// Folds the update into the site's weight.
  void merge() {
    const torch::NoGradGuard no_grad;
    torch::Tensor delta = update();
    if (settings.dora) {
      const torch::Tensor weight = site.weight.to(torch::kFloat32);
      delta = stretch(weight).unsqueeze(1) * (weight + delta) - weight;
    }
    site.add_to_weight(delta);
    merged = true;
  }

  Linear& site;
  Settings settings;
  bool shares_site;
  bool merged = false;
  torch::Tensor a, b, magnitude;
};

bool is_pattern(const std::vector<std::string>& targets) {
  return targets.size() == 1 && targets[0].find_first_of("^$*+?()[]{}|\\") != std::string::npos;
}

class Lora final : public Method {
 public:
  explicit Lora(Params& p)
      : rank_(p.get<int64_t>("rank", 8, "rank r of the update, at least 1")),
        alpha_(p.get("alpha", 8.0, "the update is scaled by alpha / rank; above 0")),
        dropout_(p.get("dropout", 0.0, "probability in [0, 1), on the update's input, while training")),
        targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the linear maps to adapt; \"all-linear\"; or one regular expression for "
            "whole names. As peft for the model type if left out")),
        rslora_(p.get("rslora", false, "scale by alpha / sqrt(rank) instead")),
        dora_(p.get("dora", false, "train the length of every row of the weight apart from its direction")) {
    p.check(rank_ >= 1, "rank", "must be at least 1");
    p.check(std::isfinite(alpha_) && alpha_ > 0, "alpha", "must be above 0");
    p.check(0.0 <= dropout_ && dropout_ < 1.0, "dropout", "must be in [0, 1)");
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one linear map");
  }

  void attach(Model& model, const Tokenizer&) override {
    if (!targets_) targets_ = model.default_lora_targets();
    const double scale = rslora_ ? alpha_ / std::sqrt(static_cast<double>(rank_)) : alpha_ / static_cast<double>(rank_);
    for (Linear* site : model.linear_sites(*targets_)) {
      auto branch = std::make_shared<Branch>(*site, Settings{rank_, scale, dropout_, dora_});
      register_module(flat_name(site->name), branch);
      site->extend([branch](const torch::Tensor& x, const Linear::Map& next) { return branch->forward(x, next); });
      branches_.push_back(branch);
    }
  }

  bool starts_at_base() const override { return true; }

  void merge(Model&) override {
    for (const auto& branch : branches_) {
      if (branch->merged) throw UnsupportedError("this LoRA is folded into the weights already");
    }
    for (const auto& branch : branches_) branch->merge();
  }

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    files.config = config();
    for (const auto& [name, tensor] : named_tensors()) {
      files.tensors[name] = tensor.detach().to(torch::kCPU, torch::kFloat32, false, /*copy=*/true).contiguous();
    }
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the LoRA adapter");
    copy_tensors(files.tensors, named_tensors(), "the LoRA adapter");
  }

  Table options_from(const Table& adapter_config) const override;

 private:
  TensorMap named_tensors() const {
    TensorMap tensors;
    for (const auto& branch : branches_) {
      const std::string site = "base_model.model." + branch->site.name;
      tensors[site + ".lora_A.weight"] = branch->a;
      tensors[site + ".lora_B.weight"] = branch->b;
      if (dora_) tensors[site + ".lora_magnitude_vector"] = branch->magnitude;
    }
    return tensors;
  }

  /// All fields that peft 0.21 writes.
  Table config() const {
    Table config = peft_config("LORA");
    config["r"] = rank_;
    const bool whole = alpha_ == std::floor(alpha_) && alpha_ < 1e15;
    config["lora_alpha"] = whole ? Value(static_cast<int64_t>(alpha_)) : Value(alpha_);
    config["lora_dropout"] = dropout_;
    config["use_rslora"] = rslora_;
    config["use_dora"] = dora_;
    config["target_modules"] = target_modules();
    config["bias"] = "none";
    config["init_lora_weights"] = true;
    config["megatron_core"] = "megatron.core";
    config["qalora_group_size"] = 16;
    for (const char* key : {"fan_in_fan_out", "lora_bias", "use_qalora", "ensure_weight_tying"}) config[key] = false;
    for (const char* key : {"rank_pattern", "alpha_pattern", "loftq_config"}) config[key] = Table();
    for (const char* key : {"exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern",
                            "megatron_config", "trainable_token_indices", "eva_config", "corda_config",
                            "lora_ga_config", "velora_config", "alora_invocation_tokens", "monteclora_config",
                            "layer_replication", "target_parameters", "use_bdlora", "arrow_config", "kasa_config"}) {
      config[key] = Value();
    }
    return config;
  }

  /// As peft reads them: a pattern as a string; "all-linear" as the names it meant, as peft leaves out heads.
  Value target_modules() const {
    if (!targets_) return {};
    if (is_pattern(*targets_)) return targets_->front();
    std::vector<std::string> names = *targets_;
    if (std::find(names.begin(), names.end(), "all-linear") != names.end()) {
      names.clear();
      for (const auto& branch : branches_) names.push_back(branch->site.name);
    }
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return names;
  }

  int64_t rank_;
  double alpha_, dropout_;
  std::optional<std::vector<std::string>> targets_;
  bool rslora_, dora_;
  std::vector<std::shared_ptr<Branch>> branches_;
};

Table Lora::options_from(const Table& adapter_config) const {
  AdapterConfig config(adapter_config, "plugin lora");
  config.expect("peft_type", "LORA");
  config.expect("bias", "none");
  Table options = {{"rank", config.get<int64_t>("r", 8)},
                   {"alpha", config.get("lora_alpha", 8.0)},
                   {"dropout", config.get("lora_dropout", 0.0)},
                   {"rslora", config.get("use_rslora", false)},
                   {"dora", config.get("use_dora", false)}};

  if (const Value* targets = config.value("target_modules")) {
    std::vector<std::string> names;
    if (const auto* one = targets->get_if<std::string>()) {
      // peft takes a string as a pattern for the whole name even where it holds no special character.
      names = {*one == "all-linear" || is_pattern({*one}) ? *one : "(" + *one + ")"};
    } else if (const auto* several = targets->get_if<List>()) {
      for (const Value& name : *several) {
        if (!name.get_if<std::string>())
          throw FormatError("adapter_config.json: `target_modules` holds " + to_json(name));
        names.push_back(*name.get_if<std::string>());
      }
      // A list is never a pattern in peft. The same name twice is one target here, and no pattern either.
      if (is_pattern(names)) names.push_back(names[0]);
    } else {
      throw FormatError("adapter_config.json: `target_modules` is " + to_json(*targets) + ", wanted a list of names");
    }
    options["targets"] = names;
  }
  // Other ways to start subtract something from the base's weights, which the adapter then expects.
  if (const Value* init = config.value("init_lora_weights"); init && !init->get_if<bool>()) {
    const auto* name = init->get_if<std::string>();
    if (!name || (*name != "gaussian" && *name != "eva" && *name != "orthogonal")) {
      throw FormatError("adapter_config.json asks for `init_lora_weights` = " + to_json(*init) +
                        ", which changes the base's weights; plugin lora cannot compute it");
    }
    if (*name == "eva") config.ignore({"eva_config"});
  }
  // fan_in_fan_out says how the base's file lies; A and B are the same either way.
  config.ignore({"task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
                 "fan_in_fan_out", "megatron_core", "qalora_group_size", "loftq_config"});
  config.finish();
  return options;
}

}  // namespace

PEFTLAB_PLUGIN(Method, Lora, "lora", "trained low-rank update of linear maps", "arXiv:2106.09685", "LORA")

}  // namespace peftlab
