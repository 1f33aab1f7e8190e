/// KronA: beside each chosen frozen linear map W, the Kronecker product of two trained matrices.
///
///     y = W x + b + s (A kron B) x        A: [a1, a2]    B: [b1, b2]    a1 b1 = out    a2 b2 = in
///
/// The product, which is as large as W, is made by merge() alone. With x read as X [a2, b2] and the update as
/// U [a1, b1], row by row both,
///
///     U = s A X B^T.
///
/// A starts Kaiming-uniform and B at zero, so a freshly attached model computes what its base does. The product's rank
/// is that of A times that of B: it can be as high as W's, where LoRA's is at most r.
///
/// Source: Edalati et al., "KronA: Parameter Efficient Tuning with Kronecker Adapter", 2022, arXiv:2212.10650; as LoKr
/// without a further factorization: Yeh et al., "Navigating Text-To-Image Customization: From LyCORIS Fine-Tuning to
/// Model Evaluation", ICLR 2024, arXiv:2309.14859. Differences: the paper chooses shapes for one width by hand; here
/// one number, `factor`, chooses them for maps of any size. Files are of a layout of this plugin's own.

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/plugin.h>

#include <torch/nn/init.h>

#include <cmath>
#include <cstdlib>
#include <optional>

namespace peftlab {
namespace {

constexpr int64_t kFactor = 8;

/// The divisor of `size` nearest to `wanted`; of two that are as near, the smaller.
int64_t nearest_divisor(int64_t size, int64_t wanted) {
  int64_t best = 1;
  for (int64_t divisor = 2; divisor <= size; ++divisor) {
    if (size % divisor == 0 && std::abs(divisor - wanted) < std::abs(best - wanted)) best = divisor;
  }
  return best;
}

/// Whether both are one piece of memory.
bool same(const Linear::Weight& one, const Linear::Weight& other) {
  if (one.quantized != other.quantized) return false;
  return one.quantized || one.dense.data_ptr() == other.dense.data_ptr();
}

/// The trained factors of one site, float32 whatever the base's type.
struct Factors : torch::nn::Module {
  Factors(Linear& site, int64_t factor, double scale) : site(site), scale(scale) {
    const int64_t a1 = nearest_divisor(site.out, factor), a2 = nearest_divisor(site.in, factor);
    const auto options = torch::dtype(torch::kFloat32).device(site.device());
    auto first = torch::empty({a1, a2}, torch::kFloat32);
    torch::nn::init::kaiming_uniform_(first, std::sqrt(5.0));
    a = register_parameter("krona_A", first.to(options));
    b = register_parameter("krona_B", torch::zeros({site.out / a1, site.in / a2}, options));
  }

  /// x [..., in] -> [..., out], in the type that `next` answers in.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) const {
    const torch::Tensor y = next(x);
    if (merged()) return y;
    return (y + update_of(x.to(a.scalar_type())).view(y.sizes())).to(y.scalar_type());
  }

  /// s (A kron B) x of every row: [..., in] -> [rows, out].
  torch::Tensor update_of(const torch::Tensor& x) const {
    const int64_t a1 = a.size(0), a2 = a.size(1), b1 = b.size(0), b2 = b.size(1);
    const torch::Tensor block = x.reshape({-1, a2, b2});
    // A X and then B, or X B^T and then A: whichever takes fewer products.
    const bool a_first = a1 * b2 * (a2 + b1) < a2 * b1 * (b2 + a1);
    const torch::Tensor update = a_first ? torch::matmul(torch::matmul(a, block), b.t())
                                         : torch::matmul(a, torch::matmul(block, b.t()));
    return (scale * times) * update.reshape({-1, site.out});
  }

  /// Gives the site a weight with the update folded in, and sets the old one aside.
  void merge() {
    const torch::NoGradGuard no_grad;
    const torch::Tensor sum = site.weight_as(torch::kFloat32) + (scale * times) * torch::kron(a, b);
    before_ = site.weight_now();
    site.set_weight({sum.to(site.dtype()), nullptr});
    after_ = site.weight_now();
  }

  /// Throws: UnsupportedError if unmerge() is not possible; nothing is changed.
  void check_unmerge() const {
    if (!merged()) throw UnsupportedError("this KronA is not folded into the weights");
    if (!same(site.weight_now(), *after_)) {
      throw UnsupportedError("the weight of " + site.name +
                             " is no longer what this KronA was folded into: what was merged later is taken out first");
    }
  }
  /// Gives the site the very tensor back that it had.
  void unmerge() {
    site.set_weight(*before_);
    before_.reset();
    after_.reset();
  }
  bool merged() const { return after_.has_value(); }

  Linear& site;
  double scale;        ///< s, without `times`
  double times = 1.0;  ///< how often the update counts
  torch::Tensor a, b;  ///< [a1, a2], [b1, b2]

 private:
  std::optional<Linear::Weight> before_;  ///< the site's weight as it was before merge()
  std::optional<Linear::Weight> after_;   ///< the same, as merge() left it
};

class Krona final : public Method {
 public:
  explicit Krona(Params& p)
      : targets_(p.get_optional<std::vector<std::string>>(
            "targets",
            "ends of the names of the linear maps to adapt; \"all-linear\"; or one regular expression for "
            "whole names. Those of LoRA for the model type if left out")),
        factor_(p.get("factor", kFactor,
                      "A has the rows and columns that divide those of the map and are nearest to this; at least 1")),
        scale_(p.get("scale", 1.0, "s, by which the update is multiplied; not 0")) {
    p.check(!targets_ || !targets_->empty(), "targets", "must name at least one linear map");
    p.check(factor_ >= 1, "factor", "must be at least 1");
    p.check(std::isfinite(scale_) && scale_ != 0.0, "scale", "must be a finite number other than 0");
  }

  void attach(Model& model, const Tokenizer&) override {
    if (!targets_) targets_ = model.default_lora_targets();
    for (Linear* site : model.linear_sites(*targets_)) {
      auto factors = std::make_shared<Factors>(*site, factor_, scale_);
      register_module(flat_name(site->name), factors);
      site->extend([factors](const torch::Tensor& x, const Linear::Map& next) { return factors->forward(x, next); });
      factors_.push_back(factors);
    }
  }

  bool starts_at_base() const override { return true; }

  void merge(Model&) override {
    refuse_if_merged();
    for (const auto& factors : factors_) factors->merge();
  }

  void unmerge(Model&) override {
    for (const auto& factors : factors_) factors->check_unmerge();
    for (const auto& factors : factors_) factors->unmerge();
  }

  void weigh(double weight) override {
    refuse_if_merged();
    for (const auto& factors : factors_) factors->times = weight;
  }

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    std::vector<std::string> chosen;
    for (const auto& factors : factors_) chosen.push_back(factors->site.name);
    files.config = {{"peft_type", "KRONA"},
                    {"target_modules", names_for_peft(targets_.value_or(std::vector<std::string>()), chosen)},
                    {"factor", factor_},
                    {"scale", scale_}};
    files.tensors = saved_copies(named_tensors());
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    copy_tensors(files.extra, {}, "the extra file of the KronA adapter");
    copy_tensors(files.tensors, named_tensors(), "the KronA adapter");
  }

  Table options_from(const Table& adapter_config) const override {
    AdapterConfig config(adapter_config, "plugin krona");
    config.expect("peft_type", "KRONA");
    Table options = {{"factor", config.get<int64_t>("factor", kFactor)}, {"scale", config.get("scale", 1.0)}};
    if (const Value* targets = config.value("target_modules")) {
      options["targets"] = names_from_peft(*targets, "target_modules");
    }
    config.finish();
    return options;
  }

 private:
  void refuse_if_merged() const {
    for (const auto& factors : factors_) {
      if (factors->merged()) throw UnsupportedError("this KronA is folded into the weights already");
    }
  }

  TensorMap named_tensors() const {
    TensorMap tensors;
    for (const auto& factors : factors_) {
      const std::string site = "base_model.model." + factors->site.name;
      tensors[site + ".krona_A"] = factors->a;
      tensors[site + ".krona_B"] = factors->b;
    }
    return tensors;
  }

  std::optional<std::vector<std::string>> targets_;
  int64_t factor_;
  double scale_;
  std::vector<std::shared_ptr<Factors>> factors_;
};

}  // namespace

PEFTLAB_PLUGIN(Method, Krona, "krona", "trained Kronecker product of two small matrices beside linear maps",
               "arXiv:2212.10650", "KRONA")

}  // namespace peftlab
