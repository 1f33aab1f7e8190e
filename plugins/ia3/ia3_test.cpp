/// IA3 against its formulas, done by hand. What every method must do is in tests/conformance, and peft's own files.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Names = std::vector<std::string>;

/// The toy model with width 2; its first `dense` is y = [1 2; 3 4] x + [10 20].
class Ia3 : public ::testing::Test {
 protected:
  Ia3() : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}) {
    site = model.linear_sites({"layers.0.attention.dense"}).at(0);
    const torch::NoGradGuard no_grad;
    site->weight.copy_(torch::tensor({{1.0, 2.0}, {3.0, 4.0}}));
    site->bias.copy_(torch::tensor({10.0, 20.0}));
    model.freeze();
  }

  std::shared_ptr<Method> attach(const Table& options, const torch::Tensor& scales) {
    auto ia3 = testing::make_method("ia3", options);
    ia3->attach(model, testing::ToyTokenizer());
    testing::set(*ia3, "transformer/layers/0/attention/dense.ia3_l", scales);
    ia3->eval();
    return ia3;
  }

  void expect(const torch::Tensor& y, const torch::Tensor& x = torch::tensor({{1.0, 1.0}})) const {
    EXPECT_TRUE(torch::equal(site->forward(x), y)) << site->forward(x) << "\nwanted " << y;
  }

  testing::ToyModel model;
  Linear* site;
};

const Table kOutput = {{"targets", Names{"dense"}}, {"feedforward", List()}};
const Table kInput = {{"targets", Names{"dense"}}, {"feedforward", Names{"dense"}}};

TEST_F(Ia3, ScalesWhatAMapGives) {
  auto ia3 = attach(kOutput, torch::tensor({{2.0}, {-1.0}}));
  // x = [1 1]: W x + b = [13 27], times [2 -1].
  expect(torch::tensor({{26.0, -27.0}}));
  ia3->merge(model);
  EXPECT_TRUE(torch::equal(site->weight, torch::tensor({{2.0f, 4.0f}, {-3.0f, -4.0f}})));
  EXPECT_TRUE(torch::equal(site->bias, torch::tensor({20.0f, -20.0f})));
  expect(torch::tensor({{26.0, -27.0}}));
  EXPECT_THROW(ia3->merge(model), UnsupportedError);
}

TEST_F(Ia3, ScalesWhatAFeedForwardMapIsGiven) {
  auto ia3 = attach(kInput, torch::tensor({{2.0, -1.0}}));
  // x = [1 3], l * x = [2 -3]: W (l * x) = [-4 -6], + b.
  expect(torch::tensor({{6.0, 14.0}}), torch::tensor({{1.0, 3.0}}));
  ia3->merge(model);
  EXPECT_TRUE(torch::equal(site->weight, torch::tensor({{2.0f, -2.0f}, {6.0f, -4.0f}})));
  EXPECT_TRUE(torch::equal(site->bias, torch::tensor({10.0f, 20.0f})));
  expect(torch::tensor({{6.0, 14.0}}), torch::tensor({{1.0, 3.0}}));
}

TEST_F(Ia3, FeedforwardNamesEndAnywhereInAWordAsInPeft) {
  auto ia3 = testing::make_method(
      "ia3", {{"targets", Names{"mlp.dense_4h_to_h", "dense_h_to_4h"}}, {"feedforward", Names{"h_to_4h"}}});
  ia3->attach(model, testing::ToyTokenizer());
  const auto scales = ia3->named_parameters();
  EXPECT_EQ(scales["transformer/layers/0/mlp/dense_4h_to_h.ia3_l"].sizes(), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(scales["transformer/layers/0/mlp/dense_h_to_4h.ia3_l"].sizes(), (std::vector<int64_t>{1, 2}));
}

TEST_F(Ia3, AModelTypeItDoesNotKnowNeedsBothOptions) {
  for (const Table& options : {Table(), Table{{"targets", Names{"dense"}}}, Table{{"feedforward", Names{"dense"}}}}) {
    EXPECT_THAT([&] { testing::make_method("ia3", options)->attach(model, testing::ToyTokenizer()); },
                ThrowsMessage<ConfigError>(AllOf(HasSubstr("type `toy`"), HasSubstr("`targets`"), HasSubstr("gpt2"))));
  }
}

TEST_F(Ia3, RefusesAFeedforwardNameThatMeansNoTarget) {
  for (const char* wrong : {"dense_4h_to_h", "(.*mlp.*)"}) {
    auto ia3 = testing::make_method("ia3", {{"targets", Names{"dense"}}, {"feedforward", Names{wrong}}});
    EXPECT_THAT([&] { ia3->attach(model, testing::ToyTokenizer()); },
                ThrowsMessage<ConfigError>(HasSubstr("feedforward `" + std::string(wrong) + "`")));
    EXPECT_FALSE(site->extended());
  }
}

TEST_F(Ia3, WritesFeedforwardModulesThatAreAmongTheTargetsAsPeftWants) {
  auto written = [&](const Names& targets, const Names& feedforward) {
    testing::ToyModel fresh({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
    auto ia3 = testing::make_method("ia3", {{"targets", targets}, {"feedforward", feedforward}});
    ia3->attach(fresh, testing::ToyTokenizer());
    const Table config = ia3->save(fresh).config;
    return to_json(config.at("target_modules")) + " " + to_json(config.at("feedforward_modules"));
  };
  EXPECT_EQ(written({"query_key_value", "dense"}, {"dense"}), R"(["dense","query_key_value"] ["dense"])");
  EXPECT_EQ(written({"attention.dense"}, {"dense"}),
            R"(["transformer.layers.0.attention.dense"] ["transformer.layers.0.attention.dense"])");
}

TEST(Ia3Options, AreChecked) {
  EXPECT_THROW(testing::make_method("ia3", {{"targets", List()}}), ConfigError);
  EXPECT_THROW(testing::make_method("ia3", {{"target", Names{"dense"}}}), ConfigError);
}

TEST(Ia3Configuration, RefusesByNameWhatItCannotCompute) {
  const auto ia3 = testing::make_method("ia3");
  EXPECT_TRUE(ia3->options_from({{"peft_type", "IA3"}}).empty());
  const std::vector<std::pair<std::string, Value>> asked = {{"exclude_modules", "dense"},
                                                            {"modules_to_save", List{"embeddings"}},
                                                            {"a_key_of_tomorrow", 1.5},
                                                            {"peft_type", "LORA"}};
  for (const auto& [key, value] : asked) {
    Table config = {{"peft_type", "IA3"}};
    config[key] = value;
    EXPECT_THAT([&] { ia3->options_from(config); },
                ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
  EXPECT_THROW(ia3->options_from({{"peft_type", "IA3"}, {"target_modules", 3}}), FormatError);
}

}  // namespace
}  // namespace peftlab
