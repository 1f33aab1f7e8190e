/// Each law, on a method that breaks it: a law that cannot fail says nothing.

#include "cases.h"

#include <peftlab/testing/toy.h>

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab::conformance {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

enum class Defect {
  none,
  default_out_of_range,
  takes_any_option,
  starts_elsewhere,
  idle_parameter,
  moves_the_base,
  cannot_learn,
  saves_half,
  loads_nothing,
  overlooks_strangers,
  merges_twice_the_update,
  refuses_after_changing,
  unseeded,
  ignores_the_seed,
  extra_parameter,
  answers_in_float32,
  mixes_sequences,
  forgets_the_past,
  leaves_out_a_gradient,
  unmerges_nearly,
  weighs_by_halves,
  refuses_a_weight_after_changing,
  counts_its_runs,
  exceeds_its_rank,
  works_where_it_should_refuse,
  refuses_for_another_reason,
  trains_what_it_refuses,
};

/// y = W x + b + B (A x) at one site, with at most one thing wrong.
class Suspect final : public Method {
 public:
  Suspect(Params& p, Defect defect) : defect_(defect) {
    const auto rank = p.get<int64_t>("rank", 2, "rank of the update");
    p.check(defect != Defect::default_out_of_range, "rank", "must not be what it is by default");
    if (defect == Defect::takes_any_option) p.ignore({"rankx"});
    rank_ = std::max<int64_t>(rank, 1) * (defect == Defect::exceeds_its_rank ? 2 : 1);
  }

  void attach(Model& model, const Tokenizer&) override {
    if (defect_ == Defect::trains_what_it_refuses) model.train_parameters({"transformer.final_layernorm.bias"});
    if (defect_ >= Defect::refuses_for_another_reason) throw UnsupportedError("it is Monday");
    Linear* site = model.linear_sites({"dense"}).front();
    site_ = site;
    if (defect_ == Defect::unseeded) torch::manual_seed(++made_);
    if (defect_ == Defect::ignores_the_seed) torch::manual_seed(0);
    a_ = register_parameter("a", torch::randn({rank_, site->in}));
    b_ = register_parameter("b", torch::zeros({site->out, rank_}));
    if (defect_ == Defect::starts_elsewhere) {
      const torch::NoGradGuard no_grad;
      b_.fill_(0.1);
    }
    if (defect_ == Defect::idle_parameter) register_parameter("idle", torch::ones({2}));
    if (defect_ == Defect::extra_parameter) extra_ = register_parameter("c", torch::zeros({site->out}));
    site->extend([this](const torch::Tensor& x, const Linear::Map& next) { return forward(x, next); });
  }

  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) {
    const torch::Tensor y = next(x);
    if (merged_) return y;
    const double runs = defect_ == Defect::counts_its_runs ? ++runs_ : 1.0;
    const torch::Tensor wide = runs * x.to(a_.scalar_type());
    torch::Tensor update = weight_ * torch::linear(torch::linear(wide, a_), b_);
    if (defect_ == Defect::leaves_out_a_gradient) update = update * (1 + a_.detach().sum());
    if (defect_ == Defect::cannot_learn) update = update - 2 * update.detach() + update;
    if (extra_.defined()) update = update + extra_;
    if (defect_ == Defect::mixes_sequences || defect_ == Defect::forgets_the_past) {
      const bool alone = defect_ == Defect::forgets_the_past && wide.size(0) <= 3;
      update = update + (alone ? wide.detach() : wide.detach().mean(0, true)).mean() * b_.sum(1);
    }
    if (defect_ == Defect::moves_the_base && is_training()) {
      const torch::NoGradGuard no_grad;
      site_->weight.add_(1e-3);
    }
    const torch::Tensor sum = y + update;
    return defect_ == Defect::answers_in_float32 ? sum.to(torch::kFloat32) : sum.to(y.scalar_type());
  }

  bool starts_at_base() const override { return true; }

  void weigh(double weight) override {
    if (defect_ == Defect::refuses_a_weight_after_changing) a_.detach().mul_(2);
    if (defect_ == Defect::refuses_a_weight_after_changing && weight != 1) throw UnsupportedError("it cannot");
    weight_ = defect_ == Defect::weighs_by_halves ? (1 + weight) / 2 : weight;
  }

  void unmerge(Model&) override {
    const torch::NoGradGuard no_grad;
    site_->weight.copy_(before_ + (defect_ == Defect::unmerges_nearly ? 1e-7 : 0.0));
    merged_ = false;
  }

  void merge(Model&) override {
    const torch::NoGradGuard no_grad;
    before_ = site_->weight.detach().clone();
    site_->add_to_weight(torch::mm(b_, a_) * (defect_ == Defect::merges_twice_the_update ? 2.0 : 1.0));
    if (defect_ == Defect::refuses_after_changing) throw UnsupportedError("it cannot");
    if (extra_.defined()) site_->bias.add_(extra_);
    merged_ = true;
  }

  TensorMap named() const {
    TensorMap tensors = {{"a", a_}};
    if (defect_ != Defect::saves_half) tensors["b"] = b_;
    if (extra_.defined()) tensors["c"] = extra_;
    return tensors;
  }

  AdapterFiles save(Model&) const override {
    AdapterFiles files;
    files.config["rank"] = rank_;
    for (const auto& [name, tensor] : named()) files.tensors[name] = tensor.detach().clone();
    return files;
  }

  void load(Model&, const AdapterFiles& files) override {
    TensorMap found = files.tensors;
    if (defect_ == Defect::overlooks_strangers) found.erase("stranger");
    TensorMap wanted = named();
    if (defect_ == Defect::loads_nothing) {
      for (auto& [name, tensor] : wanted) tensor = torch::empty_like(tensor);
    }
    copy_tensors(files.extra, {}, "it");
    copy_tensors(found, wanted, "it");
  }

  Table options_from(const Table& config) const override { return {{"rank", config.at("rank")}}; }

 private:
  static inline uint64_t made_ = 0;

  Defect defect_;
  int64_t rank_ = 0;
  bool merged_ = false;
  double weight_ = 1.0, runs_ = 0.0;
  Linear* site_ = nullptr;
  torch::Tensor a_, b_, extra_, before_;
};

testing::MethodCase suspect(Defect defect) {
  testing::MethodCase made = make_case({"none", "default", {}}, "toy");
  made.method = [defect](Params& params) { return std::make_shared<Suspect>(params, defect); };
  made.parameters = 2 * (16 + 16);  // the first `dense` is 16 to 16
  made.max_rank = 2;
  if (defect >= Defect::works_where_it_should_refuse) {
    made.refusal = defect == Defect::trains_what_it_refuses ? "Monday" : "no classes";
  }
  return made;
}

TEST(Laws, HoldForASoundMethod) {
  for (const testing::Law& law : testing::method_laws())
    EXPECT_THAT(law.check(suspect(Defect::none)), IsEmpty()) << law.name;
}

struct Breach {
  Defect defect;
  testing::Violations (*law)(const testing::MethodCase&);
  const char* says;
};

std::ostream& operator<<(std::ostream& out, const Breach& breach) { return out << breach.says; }

class Breaches : public ::testing::TestWithParam<Breach> {};

TEST_P(Breaches, AreFound) {
  EXPECT_THAT(GetParam().law(suspect(GetParam().defect)), Contains(HasSubstr(GetParam().says)));
}

const Breach kBreaches[] = {
    {Defect::default_out_of_range, testing::law_defaults, "must not be what it is by default"},
    {Defect::takes_any_option, testing::law_unknown_option, "option `rankx` was taken"},
    {Defect::starts_elsewhere, testing::law_start, "starts_at_base() is true"},
    {Defect::idle_parameter, testing::law_gradients, "`method: idle` has had no gradient"},
    {Defect::moves_the_base, testing::law_gradients, "transformer.layers.0.attention.dense.weight changed"},
    {Defect::cannot_learn, testing::law_learns, "thirty steps took the loss"},
    {Defect::saves_half, testing::law_round_trip, "loaded with the same options, the outputs differ"},
    {Defect::loads_nothing, testing::law_round_trip, "loaded with the options of its configuration"},
    {Defect::overlooks_strangers, testing::law_round_trip, "took a file with a tensor too many"},
    {Defect::merges_twice_the_update, testing::law_merge, "moved the outputs"},
    {Defect::refuses_after_changing, testing::law_merge, "merge() refused, but changed"},
    {Defect::unseeded, testing::law_seeds, "two runs with one seed"},
    {Defect::ignores_the_seed, testing::law_seeds, "two seeds both give"},
    {Defect::extra_parameter, testing::law_parameter_count, "80 numbers are trained, the formula says 64"},
    {Defect::answers_in_float32, testing::law_types_and_shapes, "dtype"},
    {Defect::mixes_sequences, testing::law_types_and_shapes, "alone differs from itself in a batch"},
    {Defect::forgets_the_past, testing::law_cache, "fed through the cache is off"},
    {Defect::leaves_out_a_gradient, testing::law_gradient_check, "the gradient says"},
    {Defect::unmerges_nearly, testing::law_merge, "unmerge() does not restore"},
    {Defect::weighs_by_halves, testing::law_weight, "with weight 0 the outputs are off"},
    {Defect::refuses_a_weight_after_changing, testing::law_weight, "weigh(1) changed the outputs"},
    {Defect::counts_its_runs, testing::law_checkpointing, "the gradient of `method: b` in step 1 is another"},
    {Defect::exceeds_its_rank, testing::law_rank, "dense has rank 4, above 2"},
    {Defect::works_where_it_should_refuse, testing::law_start, "took a model that it is said to refuse"},
    {Defect::refuses_for_another_reason, testing::law_merge, "does not say `no classes`: it is Monday"},
    {Defect::trains_what_it_refuses, testing::law_cache, "refused the model, but changed it"},
};

INSTANTIATE_TEST_SUITE_P(Laws, Breaches, ::testing::ValuesIn(kBreaches),
                         [](const auto& info) { return "breach_" + std::to_string(info.index); });

}  // namespace
}  // namespace peftlab::conformance
