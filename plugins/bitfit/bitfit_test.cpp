/// BitFit: what is trained and what is written. What every method must do is in tests/conformance.

#include "../../tests/support/small_model.h"

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Names = std::vector<std::string>;

Names trained(const Model& model) {
  Names names;
  for (const auto& [name, tensor] : model.trained_parameters()) names.push_back(name);
  return names;
}

TEST(BitFit, TrainsEveryBiasAndHasNoParameterOfItsOwn) {
  testing::ToyModel model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1, .inner = 3});
  model.freeze();
  auto bitfit = testing::make_method("bitfit");
  bitfit->attach(model, testing::ToyTokenizer());
  EXPECT_TRUE(bitfit->parameters().empty());
  const std::string layer = "transformer.layers.0.";
  EXPECT_THAT(trained(model), ElementsAre("transformer.final_layernorm.bias", layer + "attention.dense.bias",
                                          layer + "attention.query_key_value.bias", layer + "input_layernorm.bias",
                                          layer + "mlp.dense_4h_to_h.bias", layer + "mlp.dense_h_to_4h.bias",
                                          layer + "post_attention_layernorm.bias"));
}

TEST(BitFit, TargetsNameModules) {
  testing::ToyModel model;
  model.freeze();
  auto bitfit = testing::make_method("bitfit", {{"targets", Names{"0.attention.dense", "final_layernorm"}}});
  bitfit->attach(model, testing::ToyTokenizer());
  EXPECT_THAT(trained(model),
              ElementsAre("transformer.final_layernorm.bias", "transformer.layers.0.attention.dense.bias"));
}

TEST(BitFit, LeavesTheHeadOfAClassifierToTheHost) {
  testing::SmallModel model({.with_bias = true, .head = true});
  testing::make_method("bitfit")->attach(model, testing::ToyTokenizer());
  EXPECT_THAT(trained(model), ElementsAre("map.bias"));
}

TEST(BitFit, RefusesAModelWithoutBiases) {
  testing::SmallModel model({.with_bias = false, .head = true});
  EXPECT_THAT([&] { testing::make_method("bitfit")->attach(model, testing::ToyTokenizer()); },
              ThrowsMessage<UnsupportedError>(HasSubstr("this model of type `small` has none")));
}

TEST(BitFit, NamesTheNearestTarget) {
  testing::ToyModel model;
  auto bitfit = testing::make_method("bitfit", {{"targets", Names{"final_layernrom"}}});
  EXPECT_THAT([&] { bitfit->attach(model, testing::ToyTokenizer()); },
              ThrowsMessage<ConfigError>(HasSubstr("\"final_layernorm\"")));
}

TEST(BitFit, WritesTheBiasesUnderTheirNamesInTheTypeTheyHave) {
  testing::ToyModel model;
  model.to(torch::kBFloat16);
  model.freeze();
  auto bitfit = testing::make_method("bitfit", {{"targets", Names{"final_layernorm"}}});
  bitfit->attach(model, testing::ToyTokenizer());
  testing::set(model, "transformer.final_layernorm.bias", torch::full({16}, 1.5));
  const AdapterFiles files = bitfit->save(model);
  EXPECT_EQ(to_json(files.config), R"({"peft_type":"BITFIT","target_modules":["final_layernorm"]})");
  ASSERT_EQ(files.tensors.size(), 1u);
  const torch::Tensor bias = files.tensors.at("transformer.final_layernorm.bias");
  EXPECT_TRUE(torch::equal(bias, torch::full({16}, 1.5, torch::kBFloat16)));
  // What is saved stays what it was when the model moves on.
  testing::set(model, "transformer.final_layernorm.bias", torch::zeros({16}));
  EXPECT_EQ(bias[0].item<float>(), 1.5f);
}

TEST(BitFit, OptionsAndConfigurationAreChecked) {
  EXPECT_THROW(testing::make_method("bitfit", {{"targets", List()}}), ConfigError);
  EXPECT_THAT(
      [] {
        testing::make_method("bitfit", {{"targets", Names{"all-linear"}}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("all-linear")));
  const auto bitfit = testing::make_method("bitfit");
  EXPECT_TRUE(bitfit->options_from({{"peft_type", "BITFIT"}, {"task_type", "SEQ_CLS"}}).empty());
  EXPECT_THROW(bitfit->options_from({{"peft_type", "LORA"}}), FormatError);
  EXPECT_THROW(bitfit->options_from({{"peft_type", "BITFIT"}, {"rank", 4}}), FormatError);
}

}  // namespace
}  // namespace peftlab
