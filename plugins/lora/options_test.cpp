/// What LoRA is told: its options, which maps they mean, and adapter_config.json in both directions.

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

TEST(LoraOptions, AreChecked) {
  const Table pissa = {{"init", "pissa"}};
  const std::vector<Table> wrong = {
      {{"rank", 0}},
      {{"alpha", 0.0}},
      {{"dropout", 1.0}},
      {{"dropout", -0.1}},
      {{"targets", List()}},
      {{"exclude", Names{"all-linear"}}},
      {{"layers", List()}},
      {{"layers", List{-1}}},
      {{"layers", List{0}}, {"targets", Names{"all-linear"}}},
      {{"layers", List{0}}, {"targets", Names{".*dense"}}},
      {{"layers_pattern", Names{"layers"}}},
      {{"rank_pattern", Table{{"dense", 0}}}},
      {{"rank_pattern", Table{{"dense", 2.5}}}},
      {{"alpha_pattern", Table{{"dense", 0}}}},
      {{"alpha_pattern", Table{{"dense", "8"}}}},
      {{"bias", "some"}},
      {{"init", "zero"}},
      {{"init", "pissa"}, {"dora", true}},
      {{"init", "pissa"}, {"frozen_half", true}},
      {{"frozen_half", true}, {"rank", 3}},
      {{"frozen_half", true}, {"rank_pattern", Table{{"dense", 3}}}},
      {{"loraplus_ratio", 0.0}},
      {{"loraplus_ratio", 2.0}, {"bias", "all"}},
  };
  for (const Table& options : wrong) {
    EXPECT_THROW(testing::make_method("lora", options), ConfigError) << to_json(options);
  }
}

/// The toy model with LoRA on it.
struct Adapted {
  explicit Adapted(const Table& options) : lora(testing::make_method("lora", options)) {
    model.freeze();
    lora->attach(model, testing::ToyTokenizer());
  }

  /// "0.dense 4": layer, last part of the name, rank.
  Names maps() const {
    Names found;
    for (const auto& item : lora->named_parameters()) {
      const std::string& name = item.key();
      if (!name.ends_with(".lora_A")) continue;
      const std::string map = name.substr(0, name.size() - 7);
      found.push_back(map.substr(19, 1) + "." + map.substr(map.rfind('/') + 1) + " " +
                      std::to_string(item.value().size(0)));
    }
    return found;
  }

  /// The adapter_config.json it writes.
  Table config() { return lora->save(model).config; }

  testing::ToyModel model;
  std::shared_ptr<Method> lora;
};

TEST(LoraSelection, LeavesOutWhatIsExcluded) {
  const Adapted some({{"rank", 1}, {"targets", Names{"all-linear"}}, {"exclude", Names{"mlp.dense_4h_to_h", "dense"}}});
  EXPECT_THAT(some.maps(),
              ElementsAre("0.query_key_value 1", "0.dense_h_to_4h 1", "1.query_key_value 1", "1.dense_h_to_4h 1"));
  const Adapted pattern({{"rank", 1}, {"exclude", Names{R"(.*\.1\..*)"}}});
  EXPECT_THAT(pattern.maps(), ElementsAre("0.query_key_value 1"));
  // A head that this model does not have as a module is left out all the same.
  EXPECT_EQ(Adapted({{"exclude", Names{"lm_head"}}}).maps().size(), 2u);
}

TEST(LoraSelection, TakesSomeLayers) {
  const Adapted second({{"rank", 1}, {"layers", List{1}}});
  EXPECT_THAT(second.maps(), ElementsAre("1.query_key_value 1"));
  const Adapted named({{"rank", 1}, {"layers", List{1}}, {"layers_pattern", Names{"blocks", "layers"}}});
  EXPECT_THAT(named.maps(), ElementsAre("1.query_key_value 1"));
  // What is named in full is taken in any layer, as in peft.
  const Adapted full({{"rank", 1},
                      {"layers", List{1}},
                      {"targets", Names{"query_key_value", "transformer.layers.0.attention.dense"}}});
  EXPECT_THAT(full.maps(), ElementsAre("0.dense 1", "1.query_key_value 1"));
}

TEST(LoraSelection, GivesMapsTheirOwnRankAndScale) {
  // Patterns mean the end of a name, from a dot on; the first in the order of their text counts: "[" is before "d".
  const Adapted ranked({{"rank", 1},
                        {"targets", Names{"all-linear"}},
                        {"rank_pattern", Table{{"dense", 3}, {R"([0-9]\.mlp\..*)", 2}, {"dense_4h_to_h", 5}}}});
  EXPECT_THAT(ranked.maps(), ElementsAre("0.query_key_value 1", "0.dense 3", "0.dense_h_to_4h 2", "0.dense_4h_to_h 2",
                                         "1.query_key_value 1", "1.dense 3", "1.dense_h_to_4h 2", "1.dense_4h_to_h 2"));

  Adapted scaled({{"rank", 2}, {"alpha", 2}, {"layers", List{0}}, {"alpha_pattern", Table{{"query_key_value", 7}}}});
  Linear* site = scaled.model.linear_sites({"transformer.layers.0.attention.query_key_value"}).at(0);
  const auto x = torch::ones({1, 16});
  const torch::Tensor before = site->forward(x);
  testing::set(*scaled.lora, "transformer/layers/0/attention/query_key_value.lora_A", torch::ones({2, 16}));
  testing::set(*scaled.lora, "transformer/layers/0/attention/query_key_value.lora_B", torch::ones({48, 2}));
  // A x = [16 16], B A x = 32 everywhere, alpha / r = 3.5.
  EXPECT_TRUE(torch::allclose(site->forward(x) - before, torch::full({1, 48}, 112.0f), 1e-5, 1e-4));
}

TEST(LoraSelection, NamesWhatMeansNothing) {
  const std::vector<std::pair<Table, std::string>> wrong = {
      {{{"exclude", Names{"query_key_valeu"}}}, "query_key_value"},
      {{{"exclude", Names{"query_key_value"}}}, "`exclude` leaves none"},
      {{{"layers", List{0, 7}}}, "layer 7 of `layers`"},
      {{{"layers", List{0}}, {"layers_pattern", Names{"blocks"}}}, "layers that do: none"},
      {{{"layers", List{0}}, {"layers_pattern", Names{"(layers"}}}, "no regular expression"},
      {{{"rank_pattern", Table{{"dens", 2}}}}, "`rank_pattern` holds `dens`"},
      {{{"alpha_pattern", Table{{"(dense", 2}}}}, "no regular expression"},
  };
  for (const auto& [options, words] : wrong) {
    EXPECT_THAT([&] { Adapted given(options); }, ThrowsMessage<ConfigError>(HasSubstr(words))) << to_json(options);
  }
}

TEST(LoraBiases, AreTrainedAndSavedUnderPeftsNames) {
  const auto trained = [](const Adapted& adapted) {
    Names names;
    for (const auto& [name, tensor] : adapted.model.trained_parameters()) names.push_back(name);
    return names;
  };
  EXPECT_TRUE(trained(Adapted(Table{{"bias", "none"}})).empty());
  Adapted own({{"bias", "lora_only"}, {"layers", List{1}}});
  EXPECT_THAT(trained(own), ElementsAre("transformer.layers.1.attention.query_key_value.bias"));
  Adapted all(Table{{"bias", "all"}});
  // Two layers of two norms and four maps, and the last norm.
  EXPECT_EQ(trained(all).size(), 13u);
  const AdapterFiles files = all.lora->save(all.model);
  const std::string layer = "base_model.model.transformer.layers.1.";
  EXPECT_EQ(files.tensors.size(), 13u + 4u);
  EXPECT_TRUE(files.tensors.count(layer + "attention.query_key_value.base_layer.bias"));
  EXPECT_TRUE(files.tensors.count(layer + "attention.dense.bias"));
  EXPECT_TRUE(files.tensors.count(layer + "input_layernorm.bias"));
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

TEST(LoraConfiguration, GivesTheOptionsBackThatItWasWrittenOf) {
  const std::vector<Table> written = {
      {{"exclude", Names{"dense"}}, {"targets", Names{"all-linear"}}},
      {{"layers", List{1, 0}}, {"layers_pattern", Names{"layers"}}},
      {{"rank_pattern", Table{{"0.*", 2}}}, {"alpha_pattern", Table{{"0.*", 2.5}}}, {"rslora", true}},
      {{"bias", "lora_only"}},
      {{"init", "gaussian"}},
      {{"frozen_half", true}, {"rank", 2}},
  };
  for (const Table& options : written) {
    Adapted first(options);
    const Table config = first.config();
    Adapted second(first.lora->options_from(config));
    EXPECT_EQ(to_json(second.config()), to_json(config));
    EXPECT_EQ(second.maps(), first.maps());
  }
}

TEST(LoraConfiguration, TakesSingleValuesForLists) {
  const Table options = testing::make_method("lora")->options_from(
      {{"peft_type", "LORA"}, {"layers_to_transform", 3}, {"layers_pattern", "h"}, {"exclude_modules", ".*x"}});
  EXPECT_EQ(to_json(options.at("layers")), "[3]");
  EXPECT_EQ(to_json(options.at("layers_pattern")), R"(["h"])");
  EXPECT_EQ(to_json(options.at("exclude")), R"([".*x"])");
  // Empty ones ask for nothing.
  const Table none = testing::make_method("lora")->options_from(
      {{"peft_type", "LORA"}, {"layers_to_transform", List()}, {"layers_pattern", ""}, {"exclude_modules", ""}});
  EXPECT_EQ(none.count("layers") + none.count("layers_pattern") + none.count("exclude"), 0u);
}

TEST(LoraConfiguration, OfPissaIsThatOfThePlainLoraItMakes) {
  Adapted pissa({{"rank", 3}, {"alpha", 5}, {"init", "pissa"}, {"rank_pattern", Table{{"1.*", 2}}}});
  const Table config = pissa.config();
  EXPECT_EQ(config.at("r"), Value(6));
  EXPECT_EQ(config.at("lora_alpha"), Value(10));
  EXPECT_EQ(to_json(config.at("rank_pattern")), R"({"1.*":4})");
  EXPECT_EQ(config.at("init_lora_weights"), Value(true));
  // With rsLoRA, alpha / sqrt(r) is kept: 5 sqrt(2) / sqrt(6) = 5 / sqrt(3).
  Adapted stable({{"rank", 3}, {"alpha", 5}, {"init", "pissa"}, {"rslora", true}});
  EXPECT_EQ(to_json(stable.config().at("lora_alpha")), "7.0710678118654755");
}

TEST(LoraConfiguration, RefusesByNameWhatItCannotCompute) {
  const auto lora = testing::make_method("lora");
  const std::vector<std::pair<std::string, Value>> asked = {
      {"bias", "boft_only"},
      {"lora_bias", true},
      {"modules_to_save", List{"classifier"}},
      {"use_qalora", true},
      {"init_lora_weights", "pissa_niter_4"},
      {"init_lora_weights", "olora"},
      {"trainable_token_indices", List{1}},
      {"layer_replication", List{List{0, 1}}},
      {"target_parameters", List{"weight"}},
      {"a_key_of_tomorrow", 1.5},
      {"peft_type", "ADALORA"},
  };
  for (const auto& [key, value] : asked) {
    Table config = {{"peft_type", "LORA"}};
    config[key] = value;
    EXPECT_THAT([&] { lora->options_from(config); },
                ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
  const std::vector<std::pair<std::string, Value>> broken = {{"r", "8"},
                                                             {"rank_pattern", 4},
                                                             {"layers_to_transform", "0"},
                                                             {"layers_pattern", 1},
                                                             {"exclude_modules", 1},
                                                             {"target_modules", List{1}},
                                                             {"peftlab", "x"},
                                                             {"peftlab", Table{{"plugin", "lora"}}}};
  for (const auto& [key, value] : broken) {
    EXPECT_THROW(lora->options_from({{"peft_type", "LORA"}, {key, value}}), FormatError) << key;
  }
}

}  // namespace
}  // namespace peftlab
