/// %CLASS%: beside each chosen frozen linear map W, the outer product of two trained vectors.
///
///     y = W x + b + u (v . x)        v: [in]    u: [out]
///
/// v starts at N(0, 1 / in) and u at zero, so a freshly attached model computes what its base does.
///
/// This is a place to start from: say here what your method does, with its formula, shapes and paper.

#include <peftlab/adapter_config.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <cmath>
#include <optional>

namespace peftlab {
namespace {

/// What is trained at one site. Its numbers are float32 whatever the base's type.
struct Pair : torch::nn::Module {
  explicit Pair(const Linear& site) {
    const torch::Device device = site.weight.device();
    v = register_parameter("v", (torch::randn({site.in}) / std::sqrt(static_cast<double>(site.in))).to(device));
    u = register_parameter("u", torch::zeros({site.out}).to(device));
  }

  /// x [..., in] -> [..., out], in the type that `next` answers in.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) const {
    const torch::Tensor y = next(x);
    const torch::Tensor along = torch::matmul(x.to(v.scalar_type()), v).unsqueeze(-1);
    return (y + along * u).to(y.scalar_type());
  }

  torch::Tensor v, u;
};

class %CLASS% final : public Method {
 public:
  explicit %CLASS%(Params& p)
      : targets_(p.get_optional<std::vector<std::string>>(
            "targets", "ends of the names of the linear maps to adapt; those of LoRA if left out")) {
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one linear map");
  }

  void attach(Model& model, const Tokenizer&) override {
    for (Linear* site : model.linear_sites(targets_.value_or(model.default_lora_targets()))) {
      auto pair = register_module(flat_name(site->name), std::make_shared<Pair>(*site));
      site->extend([pair](const torch::Tensor& x, const Linear::Map& next) { return pair->forward(x, next); });
      pairs_.emplace_back(site, pair);
    }
  }

  bool starts_at_base() const override { return true; }

  void merge(Model&) override {
    const torch::NoGradGuard no_grad;
    for (auto& [site, pair] : pairs_) {
      site->add_to_weight(torch::outer(pair->u, pair->v));
      pair->u.zero_();  // what was added to the weight must not be added again
    }
  }

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    files.config["peft_type"] = "%UPPER%";
    if (targets_) files.config["targets"] = *targets_;
    for (const auto& [name, tensor] : tensors()) {
      files.tensors[name] = tensor.detach().to(torch::kCPU, torch::kFloat32, false, /*copy=*/true).contiguous();
    }
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of plugin %NAME%");
    copy_tensors(files.tensors, tensors(), "the adapter of plugin %NAME%");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin %NAME%");
    config.expect("peft_type", "%UPPER%");
    Table options;
    if (const Value* targets = config.value("targets")) options["targets"] = *targets;
    config.finish();  // what the file asks for and nobody read is refused
    return options;
  }

 private:
  TensorMap tensors() const {
    TensorMap tensors;
    for (const auto& [site, pair] : pairs_) {
      tensors[site->name + ".v"] = pair->v;
      tensors[site->name + ".u"] = pair->u;
    }
    return tensors;
  }

  std::optional<std::vector<std::string>> targets_;
  std::vector<std::pair<Linear*, std::shared_ptr<Pair>>> pairs_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, %CLASS%, "%NAME%", "trained outer product beside linear maps", "no paper yet", "%UPPER%")

}  // namespace peftlab
