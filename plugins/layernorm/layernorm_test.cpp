/// LayerNorm tuning: what is trained and what is written. What every method must do is in tests/conformance, and peft's
/// own files.

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

TEST(LayerNormTuning, TrainsAllNormsWherePeftNamesNone) {
  testing::ToyModel model({.layers = 1});
  model.freeze();
  auto method = testing::make_method("layernorm");
  method->attach(model, testing::ToyTokenizer());
  EXPECT_TRUE(method->parameters().empty());
  const std::string layer = "transformer.layers.0.";
  EXPECT_THAT(trained(model),
              ElementsAre("transformer.final_layernorm.bias", "transformer.final_layernorm.weight",
                          layer + "input_layernorm.bias", layer + "input_layernorm.weight",
                          layer + "post_attention_layernorm.bias", layer + "post_attention_layernorm.weight"));
  // peft reads whole names where it has no targets of its own.
  EXPECT_EQ(to_json(method->save(model).config.at("target_modules")),
            R"(["transformer.final_layernorm","transformer.layers.0.input_layernorm",)"
            R"("transformer.layers.0.post_attention_layernorm"])");
}

TEST(LayerNormTuning, TakesPeftsTargetsForTheModelType) {
  // qwen2's norms after the attention, and no others.
  testing::SmallModel model(
      {.model_type = "qwen2", .rms_norms = {"input_layernorm", "post_attention_layernorm", "norm"}});
  auto method = testing::make_method("layernorm");
  method->attach(model, testing::ToyTokenizer());
  EXPECT_THAT(trained(model), ElementsAre("post_attention_layernorm.weight"));
  const AdapterFiles files = method->save(model);
  EXPECT_EQ(to_json(files.config.at("target_modules")), R"(["post_attention_layernorm"])");
  // An RMS norm has no bias.
  ASSERT_EQ(files.tensors.size(), 1u);
  EXPECT_EQ(files.tensors.begin()->first, "base_model.model.post_attention_layernorm.ln_tuning_layers.weight");
}

TEST(LayerNormTuning, RefusesWhatIsNoNorm) {
  testing::ToyModel model;
  auto method = testing::make_method("layernorm", {{"targets", Names{"dense"}}});
  EXPECT_THAT([&] { method->attach(model, testing::ToyTokenizer()); },
              ThrowsMessage<ConfigError>(AllOf(HasSubstr("`dense`"), HasSubstr("final_layernorm"))));
  testing::SmallModel bare({});
  EXPECT_THAT([&] { testing::make_method("layernorm")->attach(bare, testing::ToyTokenizer()); },
              ThrowsMessage<ConfigError>(HasSubstr("this model of type `small` has none")));
}

TEST(LayerNormTuning, LoadsIntoTheNormsThemselves) {
  testing::ToyModel model;
  auto method = testing::make_method("layernorm", {{"targets", Names{"final_layernorm"}}});
  method->attach(model, testing::ToyTokenizer());
  const std::string norm = "base_model.model.transformer.final_layernorm.ln_tuning_layers.";
  AdapterFiles files;
  files.tensors = {{norm + "weight", torch::full({16}, 3.0)}, {norm + "bias", torch::full({16}, -2.0)}};
  method->load(model, files);
  EXPECT_TRUE((model.named_parameters()["transformer.final_layernorm.weight"] == 3.0).all().item<bool>());
  EXPECT_TRUE((model.named_parameters()["transformer.final_layernorm.bias"] == -2.0).all().item<bool>());
}

TEST(LayerNormTuning, OptionsAndConfigurationAreChecked) {
  EXPECT_THROW(testing::make_method("layernorm", {{"targets", List()}}), ConfigError);
  EXPECT_THROW(testing::make_method("layernorm", {{"targets", Names{"all-linear"}}}), ConfigError);
  const auto method = testing::make_method("layernorm");
  for (const auto& [key, value] : Table{{"exclude_modules", "norm"}, {"modules_to_save", List{"lm_head"}}}) {
    EXPECT_THAT(
        [&] {
          method->options_from({{"peft_type", "LN_TUNING"}, {key, value}});
        },
        ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
  EXPECT_THROW(method->options_from({{"peft_type", "LORA"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
