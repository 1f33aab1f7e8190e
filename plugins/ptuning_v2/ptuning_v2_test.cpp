/// P-tuning v2 by hand. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::shared_ptr<Method> attach(testing::ToyModel& model, const std::string& plugin, const Table& options) {
  model.freeze();
  torch::manual_seed(3);
  auto method = testing::make_method(plugin, options);
  method->attach(model, testing::ToyTokenizer());
  return method;
}

int64_t count(const Method& method) {
  int64_t n = 0;
  for (const auto& p : method.parameters()) n += p.numel();
  return n;
}

testing::ToySizes sizes() { return {.hidden = 4, .layers = 2, .heads = 2, .kv_heads = 1}; }

TEST(PTuningV2, GivesEachLayerItsRowsOfKeysAndValues) {
  testing::ToyModel model(sizes());
  auto method = attach(model, "ptuning_v2", {{"tokens", 2}});
  // Row t is [K of layer 0 | V of 0 | K of 1 | V of 1], 2 numbers each: 8 t, 8 t + 1, ...
  testing::set(*method, "prompt_embeddings", torch::arange(16.0).view({2, 8}));
  const KeyValue second = model.attention_sites()[1]->prefix();
  EXPECT_TRUE(torch::equal(second.keys.squeeze(1), torch::tensor({{4.f, 5.f}, {12.f, 13.f}})));
  EXPECT_TRUE(torch::equal(second.values.squeeze(1), torch::tensor({{6.f, 7.f}, {14.f, 15.f}})));
}

TEST(PTuningV2, WithoutAnEncoderAndWithAnMlpItBeginsAsPrefixTuning) {
  for (const auto& [encoder, projection] : {std::pair{"none", false}, std::pair{"mlp", true}}) {
    testing::ToyModel one(sizes()), other(sizes());
    attach(one, "ptuning_v2", {{"tokens", 3}, {"encoder", encoder}});
    attach(other, "prefix", {{"tokens", 3}, {"projection", projection}});
    EXPECT_TRUE(torch::equal(one.attention_sites()[1]->prefix().keys, other.attention_sites()[1]->prefix().keys));
    EXPECT_TRUE(torch::equal(one.attention_sites()[0]->prefix().values, other.attention_sites()[0]->prefix().values));
  }
}

TEST(PTuningV2, EncodersHaveTheNumbersTheReadmeSays) {
  // p = 3, w = 2, h = 5, c = 2 * 2 * 2 = 8.
  const auto numbers = [](const char* encoder) {
    testing::ToyModel model(sizes());
    return count(*attach(model, "ptuning_v2", {{"tokens", 3}, {"encoder", encoder}, {"hidden", 5}}));
  };
  EXPECT_EQ(numbers("mlp"), 3 * 2 + (2 * 5 + 5) + (5 * 8 + 8));
  EXPECT_EQ(numbers("lstm"), 3 * 2 + 2 * (4 * 5 * 2 + 4 * 25 + 40) + 2 * (8 * 25 + 4 * 25 + 40) + (2 * 25 + 5) + 48);
  EXPECT_EQ(numbers("transformer"), 3 * 2 + 4 * (4 + 2) + (10 + 5) + (10 + 2) + 8 + (2 * 8 + 8));
}

TEST(PTuningV2, TheLstmSeesBothWays) {
  testing::ToyModel model(sizes());
  auto method = attach(model, "ptuning_v2", {{"tokens", 3}, {"encoder", "lstm"}, {"hidden", 5}});
  const torch::NoGradGuard no_grad;
  const auto before = model.attention_sites()[0]->prefix().keys;
  auto table = method->named_parameters()["encoder.embedding"];
  table[1].add_(1.0);
  const auto changed = (model.attention_sites()[0]->prefix().keys - before).abs().flatten(1).amax(1);
  for (int64_t t = 0; t < 3; ++t) EXPECT_GT(changed[t].item<float>(), 0.0f) << t;
}

TEST(PTuningV2, DropsOutWhileTrainingOnly) {
  testing::ToyModel model(sizes());
  auto method = attach(model, "ptuning_v2", {{"tokens", 8}, {"dropout", 0.5}});
  const auto zeros = [&] { return (model.attention_sites()[0]->prefix().keys == 0).sum().item<int64_t>(); };
  method->train();
  EXPECT_GT(zeros(), 0);
  method->eval();
  EXPECT_EQ(zeros(), 0);
}

TEST(PTuningV2, OfThePromptAloneThePromptIsTrainedOn) {
  testing::ToyModel model(sizes());
  auto method = attach(model, "ptuning_v2", {{"tokens", 2}, {"encoder", "transformer"}});
  AdapterFiles files = method->save(model);
  EXPECT_FALSE(files.extra.empty());
  files.extra.clear();
  method->load(model, files);
  EXPECT_EQ(count(*method), 2 * 8);
  EXPECT_TRUE(torch::equal(method->save(model).tensors["prompt_embeddings"], files.tensors["prompt_embeddings"]));
}

TEST(PTuningV2, AnEncoderThatGivesAnotherPromptIsRefusedAndChangesNothing) {
  testing::ToyModel model(sizes());
  auto method = attach(model, "ptuning_v2", {{"tokens", 2}, {"encoder", "mlp"}});
  const AdapterFiles good = method->save(model);
  AdapterFiles bad = good;
  bad.extra["prompt_encoder.outer.bias"] = torch::full({8}, 7.0);
  EXPECT_THAT([&] { method->load(model, bad); }, ThrowsMessage<FormatError>(HasSubstr("is not what the encoder")));
  EXPECT_TRUE(torch::equal(method->save(model).tensors["prompt_embeddings"], good.tensors.at("prompt_embeddings")));
}

TEST(PTuningV2, RefusesWhatHasNoMeaning) {
  EXPECT_THROW(testing::make_method("ptuning_v2", {{"encoder", "gru"}}), ConfigError);
  EXPECT_THROW(testing::make_method("ptuning_v2", {{"hidden", 8}}), ConfigError);
  EXPECT_THROW(testing::make_method("ptuning_v2", {{"tokens", 0}}), ConfigError);
  EXPECT_THROW(testing::make_method("ptuning_v2", {{"dropout", 1.0}}), ConfigError);
}

}  // namespace
}  // namespace peftlab
