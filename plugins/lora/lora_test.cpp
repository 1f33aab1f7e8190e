/// LoRA against its formulas, done by hand. What every method must do is in tests/conformance, and peft's own files.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<std::string> kDense = {"layers.0.attention.dense"};

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
    testing::set(*lora, "transformer/layers/0/attention/dense.lora_A", a);
    testing::set(*lora, "transformer/layers/0/attention/dense.lora_B", b);
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
  const std::string magnitude = "transformer/layers/0/attention/dense.lora_magnitude_vector";
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
  testing::set(*dora, "transformer/layers/0/attention/dense.lora_magnitude_vector", torch::tensor({10.0, 2.0}));
  // W x = [7 2], the first row stretched from 5 to 10: [14 2] + bias + 100.
  expect(ones, torch::tensor({{124.0, 122.0}}));
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

TEST(LoraOptions, AreChecked) {
  const std::vector<Table> wrong = {
      {{"rank", 0}}, {{"alpha", 0.0}}, {{"dropout", 1.0}}, {{"dropout", -0.1}}, {{"targets", List()}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("lora", options), ConfigError) << to_json(options);
}

TEST(LoraConfiguration, SmallestOfPeftTakesPeftsDefaults) {
  const Table options = testing::make_method("lora")->options_from({{"peft_type", "LORA"}});
  EXPECT_EQ(to_json(options), R"({"alpha":8.0,"dora":false,"dropout":0.0,"rank":8,"rslora":false})");
}

TEST(LoraConfiguration, StringIsAPatternAndAListIsNone) {
  const auto lora = testing::make_method("lora");
  const auto targets = [&](const Value& value) {
    const Table options = lora->options_from({{"peft_type", "LORA"}, {"target_modules", value}});
    return to_json(options.at("targets"));
  };
  EXPECT_EQ(targets("dense"), R"json(["(dense)"])json");
  EXPECT_EQ(targets("all-linear"), R"(["all-linear"])");
  EXPECT_EQ(targets(std::vector<std::string>{"q_proj", "v_proj"}), R"(["q_proj","v_proj"])");
}

TEST(LoraConfiguration, RefusesByNameWhatItCannotCompute) {
  const auto lora = testing::make_method("lora");
  const std::vector<std::pair<std::string, Value>> asked = {
      {"bias", "all"},
      {"lora_bias", true},
      {"rank_pattern", Table{{"dense", 4}}},
      {"alpha_pattern", Table{{"dense", 4}}},
      {"layers_to_transform", 0},
      {"exclude_modules", "dense"},
      {"modules_to_save", List{"classifier"}},
      {"use_qalora", true},
      {"init_lora_weights", "pissa"},
      {"trainable_token_indices", List{1}},
      {"a_key_of_tomorrow", 1.5},
      {"peft_type", "ADALORA"},
  };
  for (const auto& [key, value] : asked) {
    Table config = {{"peft_type", "LORA"}};
    config[key] = value;
    EXPECT_THAT([&] { lora->options_from(config); },
                ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
  EXPECT_THROW(lora->options_from({{"peft_type", "LORA"}, {"r", "8"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
