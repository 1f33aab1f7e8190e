/// Prefix tuning against its formula, done by hand. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::shared_ptr<Method> attach(testing::ToyModel& model, const Table& options) {
  model.freeze();
  auto prefix = testing::make_method("prefix", options);
  prefix->attach(model, testing::ToyTokenizer());
  return prefix;
}

TEST(Prefix, GivesEachLayerItsRowsOfKeysAndValues) {
  testing::ToyModel model({.hidden = 4, .layers = 2, .heads = 2, .kv_heads = 1});
  auto prefix = attach(model, {{"tokens", 3}, {"projection", false}});
  // Row t of the saved tensor is [K of layer 0 | V of 0 | K of 1 | V of 1], 2 numbers each; here 8 t, 8 t + 1, ...
  testing::set(*prefix, "prompt_embeddings", torch::arange(24.0).view({3, 8}));
  const auto sites = model.attention_sites();
  EXPECT_EQ(sites[1]->prefix_tokens(), 3);
  const KeyValue first = sites[0]->prefix(), second = sites[1]->prefix();
  EXPECT_TRUE(torch::equal(first.keys.squeeze(1), torch::tensor({{0.f, 1.f}, {8.f, 9.f}, {16.f, 17.f}})));
  EXPECT_TRUE(torch::equal(first.values.squeeze(1), torch::tensor({{2.f, 3.f}, {10.f, 11.f}, {18.f, 19.f}})));
  EXPECT_TRUE(torch::equal(second.keys.squeeze(1), torch::tensor({{4.f, 5.f}, {12.f, 13.f}, {20.f, 21.f}})));
  EXPECT_TRUE(torch::equal(second.values.squeeze(1), torch::tensor({{6.f, 7.f}, {14.f, 15.f}, {22.f, 23.f}})));
}

TEST(Prefix, ProjectsThroughATanh) {
  testing::ToyModel model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
  auto prefix = attach(model, {{"tokens", 1}, {"hidden", 1}});
  testing::set(*prefix, "encoder.embedding", torch::tensor({{3.0, 1.0}}));
  testing::set(*prefix, "encoder.inner.weight", torch::tensor({{1.0, 2.0}}));
  testing::set(*prefix, "encoder.inner.bias", torch::tensor({-4.0}));
  testing::set(*prefix, "encoder.outer.weight", torch::tensor({{1.0}, {2.0}, {3.0}, {4.0}}));
  testing::set(*prefix, "encoder.outer.bias", torch::tensor({0.0, 0.0, 0.0, 1.0}));
  // W_1 E + b_1 = 3 + 2 - 4 = 1; P = tanh(1) [1 2 3 4] + [0 0 0 1]; the first two are the key.
  const float t = std::tanh(1.0f);
  const KeyValue kv = model.attention_sites()[0]->prefix();
  EXPECT_TRUE(torch::allclose(kv.keys.flatten(), torch::tensor({t, 2 * t})));
  EXPECT_TRUE(torch::allclose(kv.values.flatten(), torch::tensor({3 * t, 4 * t + 1})));
}

TEST(Prefix, IsComputedAnewWhenAParameterChanges) {
  testing::ToyModel model({.layers = 2});
  auto prefix = attach(model, {{"tokens", 2}});
  const torch::NoGradGuard no_grad;
  const auto sites = model.attention_sites();
  const auto before = sites[1]->prefix().values;
  EXPECT_TRUE(torch::equal(sites[1]->prefix().values, before));
  testing::set(*prefix, "encoder.outer.bias", torch::full({64}, 3.0));
  EXPECT_FALSE(torch::equal(sites[1]->prefix().values, before));
}

TEST(Prefix, OneGraphServesAllLayersAndIsNewEachPass) {
  testing::ToyModel model({.layers = 2});
  auto prefix = attach(model, {{"tokens", 2}});
  const auto sites = model.attention_sites();
  for (int pass = 0; pass < 2; ++pass) {
    const auto first = sites[0]->prefix().keys, second = sites[1]->prefix().keys;
    // A second backward through a graph that is gone would throw.
    (first.sum() + 2 * second.sum()).backward();
  }
  // Each pass adds 1 to the gradient of the biases of layer 0's keys for each of 2 tokens, and 2 to layer 1's.
  const auto gradient = prefix->named_parameters()["encoder.outer.bias"].grad().view({4, 16});
  EXPECT_TRUE(torch::equal(gradient.select(1, 0), torch::tensor({4.f, 0.f, 8.f, 0.f})));
}

TEST(Prefix, LoadsFromTheSavedPrefixAlone) {
  testing::ToyModel model, other;
  AdapterFiles files = attach(model, {{"tokens", 2}})->save(model);
  EXPECT_EQ(files.extra.size(), 5u);
  files.extra.clear();
  auto loaded = attach(other, testing::make_method("prefix")->options_from(files.config));
  loaded->load(other, files);
  EXPECT_EQ(loaded->named_parameters().keys(), std::vector<std::string>{"prompt_embeddings"});
  const AdapterFiles again = loaded->save(other);
  EXPECT_TRUE(torch::equal(again.tensors.at("prompt_embeddings"), files.tensors.at("prompt_embeddings")));
  EXPECT_EQ(again.config.at("prefix_projection"), Value(false));
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(torch::equal(other.attention_sites()[1]->prefix().values, model.attention_sites()[1]->prefix().values));
}

TEST(Prefix, RefusesAnEncoderThatIsNotThePrefixs) {
  testing::ToyModel model;
  auto prefix = attach(model, {{"tokens", 2}});
  AdapterFiles files = prefix->save(model);
  files.tensors["prompt_embeddings"] = files.tensors["prompt_embeddings"] + 1;
  EXPECT_THAT([&] { prefix->load(model, files); }, ThrowsMessage<FormatError>(HasSubstr("prompt_embeddings")));
}

TEST(Prefix, StartsFromWhatTheModelKeepsOfAText) {
  testing::ToyModel model({.hidden = 4, .layers = 2, .heads = 2, .kv_heads = 1});
  KeyValueCache cache(0);
  {
    const torch::NoGradGuard no_grad;
    model.eval();
    model.hidden(pack({{{2, 0, 1}, {kNoLabel, kNoLabel, kNoLabel}, 0, -1}}), &cache);
    model.train();
  }
  const Table options = {{"tokens", 3}, {"projection", false}, {"init", "text"}, {"text", "cab"}};
  const auto rows = attach(model, options)->parameters()[0].detach();
  EXPECT_TRUE(model.is_training());
  // Columns 0 and 1 are layer 0's keys, 6 and 7 layer 1's values.
  EXPECT_TRUE(torch::equal(rows.slice(1, 0, 2), cache.layers[0].keys[0][0].slice(0, 0, 3)));
  EXPECT_TRUE(torch::equal(rows.slice(1, 6, 8), cache.layers[1].values[0][0].slice(0, 0, 3)));
}

TEST(Prefix, ATextLongerThanTheModelHoldsIsRefused) {
  testing::ToyModel model({.max_length = 8});
  const Table options = {{"tokens", 9}, {"projection", false}, {"init", "text"}, {"text", "abc"}};
  EXPECT_THAT([&] { attach(model, options); }, ThrowsMessage<ConfigError>(HasSubstr("holds 8")));
}

TEST(Prefix, PositionsAreShiftedOrKeptOrTheModels) {
  const auto first = [](const std::string& positions) {
    testing::ToyModel model;
    auto prefix = attach(model, {{"tokens", 3}, {"positions", positions}});
    const Table options = prefix->options_from(prefix->save(model).config);
    EXPECT_EQ(options.count("positions"), positions == "model" ? 0u : 1u);
    if (options.count("positions")) {
      EXPECT_EQ(options.at("positions"), Value(positions));
    }
    return model.attention_sites()[1]->first_position();
  };
  EXPECT_EQ(first("shifted"), 3);
  EXPECT_EQ(first("kept"), 0);
  EXPECT_EQ(first("model"), testing::ToyModel().facts().prefix_takes_positions ? 3 : 0);
}

TEST(Prefix, OptionsAreChecked) {
  const std::vector<Table> wrong = {{{"tokens", 0}},
                                    {{"hidden", 0}},
                                    {{"hidden", 4}, {"projection", false}},
                                    {{"init", "zeros"}},
                                    {{"positions", "moved"}},
                                    {{"init", "text"}, {"text", "ab"}},
                                    {{"init", "text"}, {"projection", false}},
                                    {{"init", "text"}, {"text", ""}, {"projection", false}},
                                    {{"text", "ab"}, {"projection", false}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("prefix", options), ConfigError) << to_json(options);
}

TEST(PrefixConfiguration, OfPeft) {
  const auto prefix = testing::make_method("prefix");
  Table config = {{"peft_type", "PREFIX_TUNING"}, {"num_virtual_tokens", 7}, {"encoder_hidden_size", 16}};
  EXPECT_EQ(to_json(prefix->options_from(config)), R"({"projection":false,"tokens":7})");
  config["prefix_projection"] = true;
  EXPECT_EQ(to_json(prefix->options_from(config)), R"({"hidden":16,"projection":true,"tokens":7})");
  config["num_transformer_submodules"] = 2;
  EXPECT_THAT([&] { prefix->options_from(config); },
              ThrowsMessage<FormatError>(HasSubstr("num_transformer_submodules")));
}

}  // namespace
}  // namespace peftlab
