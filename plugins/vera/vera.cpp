/// VeRA: random matrices that all maps share and nobody trains, between two trained vectors for each chosen map.
///
///     y = W x + b + v_b * (B (v_d * (A dropout(x))))        v_b: [out]    v_d: [r]
///
/// A [r, widest input] and B [widest output, r] are drawn once from a seed of their own; a map takes A's first columns
/// and B's first rows. v_b starts at zero and v_d at `d_initial`, so a freshly attached model computes what its base
/// does. The update folds into W.
///
/// Source: Kopiczko, Blankevoort and Asano, "VeRA: Vector-based Random Matrix Adaptation", ICLR 2024, equation 2,
/// arXiv:2310.11454. First values and file are Hugging Face peft's: A and B are Kaiming uniform, within
/// sqrt(6 / columns), and are kept in the file unless `save_projection = false`.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/nn/product.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <cmath>

namespace peftlab {
namespace {

/// [rows, columns], uniform within sqrt(6 / columns), drawn in double precision of the bound as peft does.
torch::Tensor kaiming_uniform(int64_t rows, int64_t columns, torch::Generator& generator) {
  const double bound = std::sqrt(3.0) * (std::sqrt(2.0) / std::sqrt(static_cast<double>(columns)));
  return torch::empty({rows, columns}, torch::kFloat32).uniform_(-bound, bound, generator);
}

/// The frozen matrices that all maps share, float32.
struct Projection : torch::nn::Module {
  Projection(int64_t rank, int64_t in, int64_t out, uint64_t seed, torch::Device device) {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    a = register_buffer("vera_A", kaiming_uniform(rank, in, generator).to(device));
    b = register_buffer("vera_B", kaiming_uniform(out, rank, generator).to(device));
  }

  torch::Tensor a;  ///< [rank, widest input]
  torch::Tensor b;  ///< [widest output, rank]
};

/// The trained vectors of one site, float32 whatever the base's type.
struct Branch : torch::nn::Module {
  Branch(Linear& site, std::shared_ptr<Projection> shared, double d_initial, double dropout)
      : site(site), shared(std::move(shared)), dropout(dropout) {
    const int64_t rank = this->shared->a.size(0);
    // peft draws normal values and overwrites them: the draws are taken, so that what follows starts as it does there.
    torch::randn({rank});
    const auto options = torch::dtype(torch::kFloat32).device(site.device());
    lambda_b = register_parameter("vera_lambda_b", torch::zeros({site.out}, options));
    lambda_d = register_parameter("vera_lambda_d", torch::full({rank}, d_initial, options));
  }

  /// The site's part of the shared matrices.
  torch::Tensor a() const { return shared->a.slice(1, 0, site.in); }   // [rank, in]
  torch::Tensor b() const { return shared->b.slice(0, 0, site.out); }  // [out, rank]

  /// x [..., in] -> [..., out], in the type that `next` answers in.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) const {
    const torch::Tensor y = next(x);
    if (merged) return y;
    const torch::Tensor input = torch::dropout(x.to(lambda_d.scalar_type()), dropout, dropout > 0 && is_training());
    const torch::Tensor update = lambda_b * product(lambda_d * product(input, a()), b());
    return (y + update).to(y.scalar_type());
  }

  /// Folds the update into the site's weight.
  void merge() {
    const torch::NoGradGuard no_grad;
    site.add_to_weight(torch::mm(lambda_b.unsqueeze(1) * b(), lambda_d.unsqueeze(1) * a()));
    merged = true;
  }

  Linear& site;
  std::shared_ptr<Projection> shared;
  double dropout;
  bool merged = false;
  torch::Tensor lambda_b, lambda_d;
};

class Vera final : public Method {
 public:
  explicit Vera(Params& p)
      : rank_(p.get<int64_t>("rank", 256, "rank r of the shared matrices, at least 1")),
        targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the linear maps to adapt; \"all-linear\"; or one regular expression for "
            "whole names. As peft for the model type if left out")),
        d_initial_(p.get("d_initial", 0.1, "first value of the vector between the matrices; not 0")),
        dropout_(p.get("dropout", 0.0, "probability in [0, 1), on the update's input, while training")),
        seed_(p.get<int64_t>("projection_seed", 0, "seed of the shared matrices, at least 0")),
        save_projection_(p.get("save_projection", true, "keep the shared matrices in the file, not their seed alone")) {
    p.check(rank_ >= 1, "rank", "must be at least 1");
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one linear map");
    p.check(std::isfinite(d_initial_) && d_initial_ != 0, "d_initial", "must be a finite number other than 0");
    p.check(0.0 <= dropout_ && dropout_ < 1.0, "dropout", "must be in [0, 1)");
    p.check(seed_ >= 0, "projection_seed", "must be at least 0");
  }

  void attach(Model& model, const Tokenizer&) override {
    if (!targets_) targets_ = model.default_lora_targets();
    const auto sites = model.linear_sites(*targets_);
    int64_t in = 0, out = 0;
    for (const Linear* site : sites) {
      in = std::max(in, site->in);
      out = std::max(out, site->out);
    }
    projection_ = register_module(
        "projection",
        std::make_shared<Projection>(rank_, in, out, static_cast<uint64_t>(seed_), sites.front()->device()));
    for (Linear* site : sites) {
      auto branch = std::make_shared<Branch>(*site, projection_, d_initial_, dropout_);
      register_module(flat_name(site->name), branch);
      site->extend([branch](const torch::Tensor& x, const Linear::Map& next) { return branch->forward(x, next); });
      branches_.push_back(branch);
    }
  }

  bool starts_at_base() const override { return true; }

  void merge(Model&) override {
    for (const auto& branch : branches_) {
      if (branch->merged) throw UnsupportedError("this VeRA is folded into the weights already");
    }
    for (const auto& branch : branches_) branch->merge();
  }

  AdapterFiles save(Model& model) const override {
    AdapterFiles files;
    files.config = config(model);
    files.tensors = saved_copies(named_tensors());
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the VeRA adapter");
    copy_tensors(files.tensors, named_tensors(), "the VeRA adapter");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin vera");
    config.expect("peft_type", "VERA");
    config.expect("bias", "none");
    Table options = {{"rank", config.get<int64_t>("r", 256)},
                     {"d_initial", config.get("d_initial", 0.1)},
                     {"dropout", config.get("vera_dropout", 0.0)},
                     {"projection_seed", config.get<int64_t>("projection_prng_key", 0)},
                     {"save_projection", config.get("save_projection", true)}};
    if (const Value* targets = config.value("target_modules")) {
      options["targets"] = names_from_peft(*targets, "target_modules");
    }
    // The file's values replace first values of any kind. fan_in_fan_out says how the base's file lies; the update is
    // the same either way.
    config.ignore({"init_weights", "fan_in_fan_out"});
    config.finish();
    return options;
  }

 private:
  TensorMap named_tensors() const {
    TensorMap tensors;
    for (const auto& branch : branches_) {
      const std::string site = "base_model.model." + branch->site.name;
      tensors[site + ".vera_lambda_b"] = branch->lambda_b;
      tensors[site + ".vera_lambda_d"] = branch->lambda_d;
    }
    if (save_projection_) {
      tensors["base_model.vera_A"] = projection_->a;
      tensors["base_model.vera_B"] = projection_->b;
    }
    return tensors;
  }

  /// All fields that peft 0.21 writes.
  Table config(const Model& model) const {
    std::vector<std::string> chosen;
    bool transposed = false;
    for (const auto& branch : branches_) {
      chosen.push_back(branch->site.name);
      transposed |= model.is_stored_transposed(branch->site.name + ".weight");
    }
    Table config = peft_config("VERA");
    config["r"] = rank_;
    config["target_modules"] = names_for_peft(targets_.value_or(std::vector<std::string>()), chosen);
    config["d_initial"] = d_initial_;
    config["vera_dropout"] = dropout_;
    config["projection_prng_key"] = seed_;
    config["save_projection"] = save_projection_;
    config["fan_in_fan_out"] = transposed;
    config["bias"] = "none";
    config["init_weights"] = true;
    for (const char* key : {"layers_pattern", "layers_to_transform", "modules_to_save"}) config[key] = Value();
    return config;
  }

  int64_t rank_;
  std::optional<std::vector<std::string>> targets_;
  double d_initial_, dropout_;
  int64_t seed_;
  bool save_projection_;
  std::shared_ptr<Projection> projection_;
  std::vector<std::shared_ptr<Branch>> branches_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Vera, "vera", "trained vectors around shared random matrices", "arXiv:2310.11454", "VERA")

}  // namespace peftlab
