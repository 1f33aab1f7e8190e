/// LoRA against its formulas, done by hand. What every method must do is in tests/conformance, and peft's own files.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<std::string> kDense = {"transformer.layers.0.attention.dense"};
const std::string kDenseModule = "transformer/layers/0/attention/dense";

/// The toy model with width 2; its first `dense` is y = [1 2; 3 4] x.
class Lora : public ::testing::Test {
 protected:
  Lora() : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}) {
    site = model.linear_sites(kDense).at(0);
    give(*site, torch::tensor({{1.0, 2.0}, {3.0, 4.0}}), torch::tensor({0.0, 0.0}));
    model.freeze();
  }

  static void give(Linear& site, const torch::Tensor& weight, const torch::Tensor& bias) {
    const torch::NoGradGuard no_grad;
    site.weight.copy_(weight);
    site.bias.copy_(bias);
  }

  std::shared_ptr<Method> attach(Table options, const torch::Tensor& a, const torch::Tensor& b) {
    options["targets"] = kDense;
    auto lora = testing::make_method("lora", options);
    lora->attach(model, testing::ToyTokenizer());
    testing::set(*lora, kDenseModule + ".lora_A", a);
    testing::set(*lora, kDenseModule + ".lora_B", b);
    lora->eval();
    return lora;
  }

  void expect(const torch::Tensor& x, const torch::Tensor& y) const {
    EXPECT_TRUE(torch::allclose(site->forward(x), y, 1e-6, 1e-6)) << site->forward(x) << "\nwanted " << y;
  }

  testing::ToyModel model;
  Linear* site;
  const torch::Tensor ones = torch::tensor({{1.0, 1.0}});
};

TEST_F(Lora, AddsAlphaOverRankTimesBA) {
  attach({{"rank", 1}, {"alpha", 2}}, torch::tensor({{3.0, 4.0}}), torch::tensor({{5.0}, {6.0}}));
  // x = [1 1]: W x = [3 7]; A x = 7; (alpha / r) B A x = 2 * [5 6] * 7 = [70 84].
  expect(ones, torch::tensor({{73.0, 91.0}}));
}

TEST_F(Lora, RankStabilizedDividesByTheRoot) {
  const auto a = torch::ones({4, 2}), b = torch::ones({2, 4});
  attach({{"rank", 4}, {"alpha", 6}, {"rslora", true}}, a, b);
  // A x = [2 2 2 2], B A x = [8 8], alpha / sqrt(4) = 3: W x + [24 24].
  expect(ones, torch::tensor({{27.0, 31.0}}));
}

TEST_F(Lora, DoraStretchesTheRows) {
  give(*site, torch::tensor({{3.0, 4.0}, {0.0, 2.0}}), torch::tensor({10.0, 20.0}));
  auto dora =
      attach({{"rank", 1}, {"alpha", 1}, {"dora", true}}, torch::tensor({{0.0, -4.0}}), torch::tensor({{1.0}, {0.0}}));
  const std::string magnitude = kDenseModule + ".lora_magnitude_vector";
  // Lengths start as those of W's rows, 5 and 2.
  EXPECT_TRUE(torch::equal(dora->named_parameters()[magnitude], torch::tensor({5.0f, 2.0f})));
  testing::set(*dora, magnitude, torch::tensor({6.0, 4.0}));
  // W + B A = [3 0; 0 2] with rows of length 3 and 2, stretched to 6 and 4: [6 0; 0 4]. x = [1 1]: [6 4] + bias.
  expect(ones, torch::tensor({{16.0, 24.0}}));
  dora->merge(model);
  EXPECT_TRUE(torch::allclose(site->weight, torch::tensor({{6.0f, 0.0f}, {0.0f, 4.0f}})));
  expect(ones, torch::tensor({{16.0, 24.0}}));
}

TEST_F(Lora, DoraKeepsARowOfZeros) {
  give(*site, torch::tensor({{0.0, 0.0}, {0.0, 2.0}}), torch::tensor({1.0, 1.0}));
  attach({{"dora", true}}, torch::ones({8, 2}), torch::zeros({2, 8}));
  expect(ones, torch::tensor({{1.0, 3.0}}));
}

TEST_F(Lora, DoraLeavesAloneWhatOthersAdd) {
  give(*site, torch::tensor({{3.0, 4.0}, {0.0, 2.0}}), torch::tensor({10.0, 20.0}));
  site->extend([](const torch::Tensor& x, const Linear::Map& next) { return next(x) + 100; });
  auto dora = attach({{"rank", 1}, {"dora", true}}, torch::zeros({1, 2}), torch::zeros({2, 1}));
  testing::set(*dora, kDenseModule + ".lora_magnitude_vector", torch::tensor({10.0, 2.0}));
  // W x = [7 2], the first row stretched from 5 to 10: [14 2] + bias + 100.
  expect(ones, torch::tensor({{124.0, 122.0}}));
}

TEST_F(Lora, PissaIsTakenFromTheWeightAndSavedBesideItsStart) {
  give(*site, torch::tensor({{3.0, 0.0}, {0.0, 1.0}}), torch::tensor({0.0, 0.0}));
  auto lora = testing::make_method("lora", {{"rank", 1}, {"alpha", 3}, {"init", "pissa"}, {"targets", kDense}});
  lora->attach(model, testing::ToyTokenizer());
  lora->eval();
  // S = 3 along [1 0], s = 3: A = sqrt(3 / 3) [1 0] and B = [1 0], both of one sign.
  const auto a = lora->named_parameters()[kDenseModule + ".lora_A"];
  const auto b = lora->named_parameters()[kDenseModule + ".lora_B"];
  EXPECT_TRUE(torch::allclose(torch::mm(b, a), torch::tensor({{1.0f, 0.0f}, {0.0f, 0.0f}})));
  EXPECT_TRUE(torch::allclose(a.abs(), torch::tensor({{1.0f, 0.0f}})));
  EXPECT_TRUE(torch::equal(site->weight, torch::tensor({{3.0f, 0.0f}, {0.0f, 1.0f}})));
  expect(ones, torch::tensor({{3.0, 1.0}}));
  testing::set(*lora, kDenseModule + ".lora_A", torch::tensor({{0.0, 2.0}}));
  testing::set(*lora, kDenseModule + ".lora_B", torch::tensor({{5.0}, {0.0}}));
  // W - s B_0 A_0 = [0 0; 0 1]; s B A = 3 [0 10; 0 0]. x = [1 1]: [30 1].
  expect(ones, torch::tensor({{30.0, 1.0}}));

  const AdapterFiles files = lora->save(model);
  EXPECT_EQ(files.config.at("r"), Value(2));
  EXPECT_EQ(files.config.at("lora_alpha"), Value(6));
  const std::string name = "base_model.model." + kDense[0];
  // 3 [5 b; 0 b'] [0 2; a a'] = 3 [0 10; 0 0] - 3 [1 0; 0 0].
  const auto whole =
      3 * torch::mm(files.tensors.at(name + ".lora_B.weight"), files.tensors.at(name + ".lora_A.weight"));
  EXPECT_TRUE(torch::allclose(whole, torch::tensor({{-3.0f, 30.0f}, {0.0f, 0.0f}}))) << whole;
  lora->merge(model);
  EXPECT_TRUE(torch::allclose(site->weight, torch::tensor({{0.0f, 30.0f}, {0.0f, 1.0f}})));
}

TEST_F(Lora, PissaTakesNoMoreThanThereIs) {
  auto lora = testing::make_method("lora", {{"rank", 3}, {"init", "pissa"}, {"targets", kDense}});
  EXPECT_THAT([&] { lora->attach(model, testing::ToyTokenizer()); },
              ThrowsMessage<ConfigError>(HasSubstr(kDense[0] + ", which has 2 singular directions")));
  EXPECT_FALSE(site->extended());
}

TEST_F(Lora, AFrozenHalfIsCountedButNotTrained) {
  Table options = {{"rank", 2}, {"alpha", 2}, {"frozen_half", true}, {"targets", kDense}};
  auto lora = testing::make_method("lora", options);
  lora->attach(model, testing::ToyTokenizer());
  EXPECT_EQ(lora->named_parameters()[kDenseModule + ".lora_A"].sizes(), (std::vector<int64_t>{1, 2}));
  AdapterFiles files = lora->save(model);
  const std::string name = "base_model.model." + kDense[0];
  files.tensors[name + ".lora_A.weight"] = torch::tensor({{1.0, 0.0}, {0.0, 1.0}});
  files.tensors[name + ".lora_B.weight"] = torch::tensor({{10.0, 100.0}, {20.0, 200.0}});
  lora->load(model, files);
  lora->eval();
  // W x = [3 7]; B A x = [110 220].
  expect(ones, torch::tensor({{113.0, 227.0}}));
  EXPECT_EQ(lora->parameters().size(), 2u);
}

TEST_F(Lora, CountsAsOftenAsItIsWeighed) {
  auto lora = attach({{"rank", 1}, {"alpha", 2}}, torch::tensor({{3.0, 4.0}}), torch::tensor({{5.0}, {6.0}}));
  lora->weigh(0.5);
  // W x = [3 7], half of [70 84].
  expect(ones, torch::tensor({{38.0, 49.0}}));
  lora->weigh(-1.0);
  expect(ones, torch::tensor({{-67.0, -77.0}}));
  lora->merge(model);
  expect(ones, torch::tensor({{-67.0, -77.0}}));
  EXPECT_THROW(lora->weigh(1.0), UnsupportedError);
}

TEST_F(Lora, RefusesToBeWeighedWhereItIsNoSummand) {
  auto dora = attach({{"rank", 1}, {"dora", true}}, torch::zeros({1, 2}), torch::zeros({2, 1}));
  dora->weigh(1.0);
  EXPECT_THAT([&] { dora->weigh(0.5); }, ThrowsMessage<UnsupportedError>(HasSubstr("DoRA")));
  testing::ToyModel other;
  auto biased = testing::make_method("lora", {{"bias", "all"}});
  biased->attach(other, testing::ToyTokenizer());
  EXPECT_THAT([&] { biased->weigh(0.5); }, ThrowsMessage<UnsupportedError>(HasSubstr("`bias` = \"all\"")));
}

TEST_F(Lora, UnmergesToTheVeryTensor) {
  // 0.1 + 3e7 - 3e7 is not 0.1 in float32: only what was set aside brings it back.
  give(*site, torch::tensor({{0.1, 0.2}, {0.3, 0.4}}), torch::tensor({0.0, 0.0}));
  const void* memory = site->weight.data_ptr();
  const torch::Tensor weight = site->weight.clone();
  auto lora = attach({{"rank", 1}, {"alpha", 1}}, torch::tensor({{3e7, 3e7}}), torch::tensor({{1.0}, {1.0}}));
  EXPECT_THROW(lora->unmerge(model), UnsupportedError);
  lora->merge(model);
  EXPECT_NE(site->weight.data_ptr(), memory);
  lora->unmerge(model);
  EXPECT_EQ(site->weight.data_ptr(), memory);
  EXPECT_TRUE(torch::equal(site->weight, weight));
  expect(ones, torch::tensor({{6e7, 6e7}}));
  lora->merge(model);
  expect(ones, torch::tensor({{6e7, 6e7}}));
}

TEST_F(Lora, UnmergesWhatWasMergedLastFirst) {
  auto first = attach({{"rank", 1}, {"alpha", 1}}, torch::ones({1, 2}), torch::ones({2, 1}));
  auto second = testing::make_method("lora", {{"rank", 1}, {"targets", kDense}});
  second->attach(model, testing::ToyTokenizer());
  first->merge(model);
  second->merge(model);
  EXPECT_THAT([&] { first->unmerge(model); }, ThrowsMessage<UnsupportedError>(HasSubstr(kDense[0])));
  second->unmerge(model);
  first->unmerge(model);
  EXPECT_TRUE(torch::equal(site->weight, torch::tensor({{1.0f, 2.0f}, {3.0f, 4.0f}})));
}

TEST_F(Lora, DoraIsNotMergedBesideOthers) {
  auto lora = attach({{"rank", 1}, {"alpha", 1}}, torch::ones({1, 2}), torch::ones({2, 1}));
  auto dora = testing::make_method("lora", {{"dora", true}, {"targets", kDense}});
  dora->attach(model, testing::ToyTokenizer());
  EXPECT_THAT([&] { dora->merge(model); }, ThrowsMessage<UnsupportedError>(HasSubstr("DoRA at " + kDense[0])));
  expect(ones, torch::tensor({{5.0, 9.0}}));
}

TEST_F(Lora, DoraIsMergedUnderWhatWasPutOnLater) {
  give(*site, torch::tensor({{3.0, 4.0}, {0.0, 2.0}}), torch::tensor({0.0, 0.0}));
  auto dora = attach({{"rank", 1}, {"dora", true}}, torch::zeros({1, 2}), torch::zeros({2, 1}));
  testing::set(*dora, kDenseModule + ".lora_magnitude_vector", torch::tensor({10.0, 2.0}));
  auto lora = attach({{"rank", 1}, {"alpha", 1}}, torch::ones({1, 2}), torch::tensor({{1.0}, {3.0}}));
  // The first row stretched from 5 to 10: [6 8; 0 2], and [1 1; 3 3] on top of it. x = [1 1]: [14 2] + [2 6].
  expect(ones, torch::tensor({{16.0, 8.0}}));
  dora->merge(model);
  expect(ones, torch::tensor({{16.0, 8.0}}));
  lora->merge(model);
  EXPECT_TRUE(torch::allclose(site->weight, torch::tensor({{7.0f, 9.0f}, {3.0f, 5.0f}})));
  expect(ones, torch::tensor({{16.0, 8.0}}));
}

TEST_F(Lora, DoraIsNotMergedIntoAChangedWeight) {
  auto dora = attach({{"rank", 1}, {"dora", true}}, torch::zeros({1, 2}), torch::zeros({2, 1}));
  auto lora = testing::make_method("lora", {{"targets", kDense}});
  lora->attach(model, testing::ToyTokenizer());
  lora->merge(model);
  EXPECT_THROW(dora->merge(model), UnsupportedError);
  lora->unmerge(model);
  dora->merge(model);
}

TEST_F(Lora, LearnsBFasterWithLoraPlus) {
  auto lora = testing::make_method("lora", {{"loraplus_ratio", 16}, {"dora", true}, {"targets", kDense}});
  lora->attach(model, testing::ToyTokenizer());
  EXPECT_EQ(lora->rate_factor(kDenseModule + ".lora_A"), 1.0);
  EXPECT_EQ(lora->rate_factor(kDenseModule + ".lora_B"), 16.0);
  EXPECT_EQ(lora->rate_factor(kDenseModule + ".lora_magnitude_vector"), 16.0);
}

TEST_F(Lora, MergesIntoTheWeightAndOnlyOnce) {
  auto lora = attach({{"rank", 1}, {"alpha", 2}}, torch::tensor({{3.0, 4.0}}), torch::tensor({{5.0}, {6.0}}));
  lora->merge(model);
  // 2 * [5; 6] [3 4] = [30 40; 36 48].
  EXPECT_TRUE(torch::equal(site->weight, torch::tensor({{31.0f, 42.0f}, {39.0f, 52.0f}})));
  expect(ones, torch::tensor({{73.0, 91.0}}));
  EXPECT_THROW(lora->merge(model), UnsupportedError);
}

TEST_F(Lora, DropsOutOnlyTheUpdatesInputAndOnlyInTraining) {
  auto lora =
      attach({{"rank", 1}, {"alpha", 1}, {"dropout", 0.5}}, torch::tensor({{1.0, 0.0}}), torch::tensor({{1.0}, {0.0}}));
  const auto x = torch::ones({400, 2});
  expect(x, torch::tensor({4.0, 7.0}).expand({400, 2}));
  lora->train();
  torch::manual_seed(0);
  const auto first = site->forward(x).select(1, 0), second = site->forward(x).select(1, 1);
  // W x = 3 and 7; the update 1 becomes 0 or 2, each for about half of the rows.
  const auto kept = (first == 5.0).sum().item<int64_t>();
  EXPECT_EQ(kept + (first == 3.0).sum().item<int64_t>(), 400);
  EXPECT_NEAR(static_cast<double>(kept), 200.0, 60.0);
  EXPECT_TRUE((second == 7.0).all().item<bool>());
}

TEST_F(Lora, AdaptsWhatTheModelTypeDefaultsTo) {
  auto lora = testing::make_method("lora");
  lora->attach(model, testing::ToyTokenizer());
  EXPECT_EQ(lora->named_parameters().keys(),
            (std::vector<std::string>{"transformer/layers/0/attention/query_key_value.lora_A",
                                      "transformer/layers/0/attention/query_key_value.lora_B"}));
}

TEST_F(Lora, NamesTheNearestTarget) {
  auto lora = testing::make_method("lora", {{"targets", std::vector<std::string>{"query_key_valeu"}}});
  EXPECT_THAT([&] { lora->attach(model, testing::ToyTokenizer()); },
              ThrowsMessage<ConfigError>(HasSubstr("query_key_value")));
}

}  // namespace
}  // namespace peftlab
