/// Full fine-tuning: what is trained. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

#include <set>

namespace peftlab {
namespace {

TEST(Full, TrainsEveryParameterOfTheModelAndHasNone) {
  testing::ToyModel model;
  model.freeze();
  auto full = testing::make_method("full");
  full->attach(model, testing::ToyTokenizer());
  EXPECT_EQ(model.trained_parameters().size(), model.parameters().size());
  EXPECT_TRUE(full->parameters().empty());
}

TEST(Full, TrainsOnlyTheLayersAndModulesThatAreChosen) {
  const auto trained = [](const Table& options) {
    testing::ToyModel model({.hidden = 4, .layers = 3, .heads = 1, .kv_heads = 1});
    model.freeze();
    testing::make_method("full", options)->attach(model, testing::ToyTokenizer());
    std::set<std::string> places;
    for (const auto& [name, tensor] : model.trained_parameters()) {
      places.insert(name.starts_with("transformer.layers.") ? name.substr(0, 20) : name);
    }
    return places;
  };
  using Set = std::set<std::string>;
  EXPECT_EQ(trained({{"layers", std::vector<int64_t>{-1}}}), Set{"transformer.layers.2"});
  EXPECT_EQ(trained({{"layers", std::vector<int64_t>{0, 2}}}), (Set{"transformer.layers.0", "transformer.layers.2"}));
  EXPECT_EQ(trained({{"layers", std::vector<int64_t>{1}}, {"targets", std::vector<std::string>{"final_layernorm"}}}),
            (Set{"transformer.layers.1", "transformer.final_layernorm.weight", "transformer.final_layernorm.bias"}));
}

TEST(Full, RefusesALayerThereIsNot) {
  testing::ToyModel model({.hidden = 4, .layers = 3, .heads = 1, .kv_heads = 1});
  for (const int64_t number : {3, -4}) {
    const auto full = testing::make_method("full", {{"layers", std::vector<int64_t>{number}}});
    EXPECT_THROW(full->attach(model, testing::ToyTokenizer()), ConfigError) << number;
  }
  EXPECT_THROW(testing::make_method("full", {{"layers", std::vector<int64_t>{}}}), ConfigError);
}

TEST(Full, LeavesAModelAndNoAdapter) {
  testing::ToyModel model;
  auto full = testing::make_method("full");
  EXPECT_TRUE(full->saves_model());
  EXPECT_THROW(full->save(model), UnsupportedError);
  EXPECT_THROW(full->load(model, {}), UnsupportedError);
  EXPECT_THROW(full->merge(model), UnsupportedError);
  EXPECT_THROW(full->options_from({{"peft_type", "LORA"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
