/// AdaLoRA against its formulas, done by hand; its options and its files. What every method must do is in
/// tests/conformance, and what peft computes in tests/methods.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<std::string> kDense = {"layers.0.attention.dense"};
const std::string kBranch = "transformer/layers/0/attention/dense.";

/// The toy model with width 2; its first `dense` is y = [1 2; 3 4] x.
class AdaLora : public ::testing::Test {
 protected:
  AdaLora() : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}) {
    site = model.linear_sites(kDense).at(0);
    const torch::NoGradGuard no_grad;
    site->weight.copy_(torch::tensor({{1.0, 2.0}, {3.0, 4.0}}));
    site->bias.zero_();
    model.freeze();
  }

  std::shared_ptr<Method> attach(Table options, const torch::Tensor& a, const torch::Tensor& e,
                                 const torch::Tensor& b) {
    options["targets"] = kDense;
    auto method = testing::make_method("adalora", options);
    method->attach(model, testing::ToyTokenizer());
    testing::set(*method, kBranch + "lora_A", a);
    testing::set(*method, kBranch + "lora_E", e);
    testing::set(*method, kBranch + "lora_B", b);
    method->eval();
    return method;
  }

  /// Rank 1, alpha 3, E = 2: the update is 3 / 1.00001 * 2 [5; 6] [3 4], the fraction within 1e-4 of 3.
  std::shared_ptr<Method> attach_one() {
    return attach({{"rank", 1}, {"target_rank", 1}, {"alpha", 3}}, torch::tensor({{3.0, 4.0}}), torch::tensor({{2.0}}),
                  torch::tensor({{5.0}, {6.0}}));
  }

  void expect(const torch::Tensor& x, const torch::Tensor& y) const {
    EXPECT_TRUE(torch::allclose(site->forward(x), y, 1e-6, 1e-6)) << site->forward(x) << "\nwanted " << y;
  }

  testing::ToyModel model;
  Linear* site;
  const torch::Tensor ones = torch::tensor({{1.0, 1.0}});
};

TEST_F(AdaLora, AddsAlphaOverRankTimesBEA) {
  attach_one();
  // x = [1 1]: W x = [3 7]; A x = 7; E A x = 14; B E A x = [70 84]; times 3 / 1.00001.
  expect(ones, torch::tensor({{3.0 + 210.0 / 1.00001, 7.0 + 252.0 / 1.00001}}));
}

TEST_F(AdaLora, WithEOneAndItsScaleItIsLora) {
  torch::manual_seed(2);
  const auto a = torch::randn({3, 2}), b = torch::randn({2, 3});
  // alpha / (r + 1e-5) is LoRA's alpha / r.
  const double lora_alpha = 6.0, alpha = lora_alpha / 3.0 * (3.0 + 1e-5);
  attach({{"rank", 3}, {"target_rank", 1}, {"alpha", alpha}}, a, torch::ones({3, 1}), b);
  testing::ToyModel other({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
  other.linear_sites(kDense).at(0)->weight.data().copy_(site->weight);
  other.linear_sites(kDense).at(0)->bias.data().copy_(site->bias);
  auto lora = testing::make_method("lora", {{"rank", 3}, {"alpha", lora_alpha}, {"targets", kDense}});
  lora->attach(other, testing::ToyTokenizer());
  testing::set(*lora, kBranch + "lora_A", a);
  testing::set(*lora, kBranch + "lora_B", b);
  lora->eval();
  const auto x = torch::randn({5, 2});
  expect(x, other.linear_sites(kDense).at(0)->forward(x));
}

TEST_F(AdaLora, PenaltyIsTheMeanDistanceFromOrthogonal) {
  auto method = attach_one();
  // A A^T = 25 and B^T B = 61: half of the mean of 24 and 60.
  EXPECT_NEAR(method->penalty().item<double>(), 21.0, 1e-5);
  EXPECT_TRUE(method->penalty().requires_grad());
}

TEST_F(AdaLora, PenaltyTakesFrobeniusNorms) {
  auto method = attach({{"rank", 2}, {"target_rank", 1}, {"orthogonality", 2.0}},
                       torch::tensor({{1.0, 0.0}, {3.0, 4.0}}), torch::ones({2, 1}), torch::eye(2));
  // A A^T - I = [0 3; 3 24], of norm sqrt(9 + 9 + 576); B is orthogonal. Twice the mean of both is their sum.
  EXPECT_NEAR(method->penalty().item<double>(), std::sqrt(594.0), 1e-4);
}

TEST_F(AdaLora, WithoutOrthogonalityThereIsNoPenalty) {
  auto method = testing::make_method("adalora", {{"orthogonality", 0.0}, {"targets", kDense}});
  method->attach(model, testing::ToyTokenizer());
  EXPECT_FALSE(method->penalty().defined());
}

TEST_F(AdaLora, MergesOnceAndComesOutToTheBit) {
  auto method = attach_one();
  const auto before = site->forward(ones);
  const auto weight = site->weight.clone();
  EXPECT_THROW(method->unmerge(model), UnsupportedError);
  method->merge(model);
  // 3 / 1.00001 * 2 * [5; 6] [3 4] = [90 120; 108 144] / 1.00001.
  EXPECT_TRUE(torch::allclose(site->weight, weight + torch::tensor({{90.0, 120.0}, {108.0, 144.0}}) / 1.00001));
  expect(ones, before);
  EXPECT_THROW(method->merge(model), UnsupportedError);
  EXPECT_THROW(method->weigh(2.0), UnsupportedError);
  method->unmerge(model);
  EXPECT_TRUE(torch::equal(site->weight, weight));
  EXPECT_TRUE(torch::equal(site->forward(ones), before));
  // Beside an update of this size the weight is lost: it cannot be had by taking the update away.
  testing::set(*method, kBranch + "lora_E", torch::tensor({{1e9}}));
  method->merge(model);
  method->unmerge(model);
  EXPECT_TRUE(torch::equal(site->weight, weight));
}

TEST_F(AdaLora, CountsAsOftenAsItIsWeighed) {
  auto method = attach_one();
  method->weigh(-0.5);
  expect(ones, torch::tensor({{3.0 - 105.0 / 1.00001, 7.0 - 126.0 / 1.00001}}));
  method->merge(model);
  expect(ones, torch::tensor({{3.0 - 105.0 / 1.00001, 7.0 - 126.0 / 1.00001}}));
}

TEST_F(AdaLora, DropsOutOnlyTheUpdatesInputAndOnlyInTraining) {
  auto method = attach({{"rank", 1}, {"target_rank", 1}, {"alpha", 1.00001}, {"dropout", 0.5}},
                       torch::tensor({{1.0, 0.0}}), torch::ones({1, 1}), torch::tensor({{1.0}, {0.0}}));
  const auto x = torch::ones({400, 2});
  expect(x, torch::tensor({4.0, 7.0}).expand({400, 2}));
  method->train();
  torch::manual_seed(0);
  const auto y = site->forward(x).select(1, 0).round();
  // W x = 3; the update 1 becomes 0 or 2, each for about half of the rows.
  const auto kept = (y == 5.0).sum().item<int64_t>();
  EXPECT_EQ(kept + (y == 3.0).sum().item<int64_t>(), 400);
  EXPECT_NEAR(static_cast<double>(kept), 200.0, 60.0);
}

TEST(AdaLoraOptions, AreChecked) {
  const std::vector<Table> wrong = {{{"rank", 0}},          {{"target_rank", 0}},  {{"rank", 4}, {"target_rank", 5}},
                                    {{"alpha", 0.0}},       {{"dropout", 1.0}},    {{"targets", List()}},
                                    {{"warmup_steps", -1}}, {{"final_steps", -1}}, {{"interval", 0}},
                                    {{"beta1", 1.0}},       {{"beta2", 0.0}},      {{"orthogonality", -0.1}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("adalora", options), ConfigError) << to_json(options);
}

TEST(AdaLoraConfiguration, SmallestOfPeftTakesPeftsDefaults) {
  const Table options = testing::make_method("adalora")->options_from({{"peft_type", "ADALORA"}});
  EXPECT_EQ(to_json(options),
            R"({"alpha":8.0,"beta1":0.85,"beta2":0.85,"dropout":0.0,"final_steps":0,"interval":1,"orthogonality":0.5,)"
            R"("rank":12,"target_rank":8,"warmup_steps":0})");
}

TEST(AdaLoraConfiguration, WhatPeftNeverUsesTakesNoEffect) {
  const auto method = testing::make_method("adalora");
  Table config = {{"peft_type", "ADALORA"}, {"init_r", 4}, {"lora_alpha", 0}, {"r", 6}, {"use_rslora", true}};
  const Table options = method->options_from(config);
  EXPECT_EQ(options.at("rank"), Value(4));
  EXPECT_EQ(options.at("target_rank"), Value(4));
  EXPECT_EQ(options.at("alpha"), Value(4.0));
}

TEST(AdaLoraConfiguration, RefusesByNameWhatItCannotCompute) {
  const auto method = testing::make_method("adalora");
  const std::vector<std::pair<std::string, Value>> asked = {
      {"bias", "all"},
      {"layers_to_transform", 0},
      {"exclude_modules", "dense"},
      {"modules_to_save", List{"embeddings"}},
      {"use_dora", true},
      {"a_key_of_tomorrow", 1.5},
      {"peft_type", "LORA"},
  };
  for (const auto& [key, value] : asked) {
    Table config = {{"peft_type", "ADALORA"}};
    config[key] = value;
    EXPECT_THAT([&] { method->options_from(config); },
                ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
  EXPECT_THROW(method->options_from({{"peft_type", "ADALORA"}, {"init_r", "8"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
