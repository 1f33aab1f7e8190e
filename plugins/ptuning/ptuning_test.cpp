/// P-tuning by hand. What every method must do is in tests/conformance; peft's numbers are in tests/methods.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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

testing::ToySizes narrow() { return {.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}; }

int64_t count(const Method& method) {
  int64_t n = 0;
  for (const auto& p : method.parameters()) n += p.numel();
  return n;
}

/// The rows in front of a sequence of one token.
torch::Tensor rows_of(testing::ToyModel& model) {
  const torch::NoGradGuard no_grad;
  Layout layout;
  layout.add(1, 0);
  const int64_t width = model.embedding_site().width;
  return model.embedding_site().extend(torch::zeros({1, width}), layout).rows.slice(0, 0, -1);
}

torch::Tensor outputs(testing::ToyModel& model) {
  const torch::NoGradGuard no_grad;
  return model.hidden(pack({{{5, 9, 2}, {kNoLabel, kNoLabel, kNoLabel}, 0, -1}}));
}

TEST(PTuning, TheMlpIsThreeMapsWithReluBetween) {
  testing::ToyModel model(narrow());
  auto method = attach(model, "ptuning", {{"tokens", 1}, {"hidden", 2}});
  testing::set(*method, "encoder.embedding.weight", torch::tensor({{1.0, 2.0}}));
  testing::set(*method, "encoder.mlp_head.0.weight", torch::tensor({{1.0, 1.0}, {1.0, -1.0}}));
  testing::set(*method, "encoder.mlp_head.0.bias", torch::tensor({0.0, 0.0}));
  testing::set(*method, "encoder.mlp_head.2.weight", torch::tensor({{2.0, 5.0}, {-1.0, 5.0}}));
  testing::set(*method, "encoder.mlp_head.2.bias", torch::tensor({1.0, 1.0}));
  testing::set(*method, "encoder.mlp_head.4.weight", torch::tensor({{1.0, 9.0}, {-1.0, 9.0}}));
  testing::set(*method, "encoder.mlp_head.4.bias", torch::tensor({0.0, 0.5}));
  // [1 2] -> [3 -1] -> relu [3 0] -> [6 + 1, -3 + 1] -> relu [7 0] -> [7, -7 + 0.5].
  EXPECT_TRUE(torch::equal(rows_of(model), torch::tensor({{7.f, -6.5f}})));
}

TEST(PTuning, TheLstmOfOneCellByHand) {
  testing::ToyModel model(narrow());
  auto method = attach(model, "ptuning", {{"tokens", 1}, {"hidden", 1}, {"encoder", "lstm"}, {"layers", 1}});
  const torch::NoGradGuard no_grad;
  for (auto& p : method->parameters()) p.zero_();
  // With all else 0 the gates are 1/2; the cell's input is tanh(b) forwards, and 0 backwards. b is the third of the
  // gates' biases, in the order input, forget, cell, output.
  testing::set(*method, "encoder.lstm_head.bias_ih_l0", torch::tensor({0.0, 0.0, 2.0, 0.0}));
  testing::set(*method, "encoder.mlp_head.0.weight", torch::tensor({{3.0, 0.0}, {-3.0, 0.0}}));
  testing::set(*method, "encoder.mlp_head.2.weight", torch::tensor({{1.0, 9.0}, {2.0, 9.0}}));
  // c = 1/2 tanh(2), h = 1/2 tanh(c); the second of the head's inner numbers is negative.
  const float h = 0.5f * std::tanh(0.5f * std::tanh(2.0f));
  EXPECT_TRUE(torch::allclose(rows_of(model), torch::tensor({{3 * h, 6 * h}})));
}

TEST(PTuning, TheLstmSeesBothWays) {
  testing::ToyModel model;
  auto method = attach(model, "ptuning", {{"tokens", 3}, {"hidden", 5}, {"encoder", "lstm"}});
  const torch::NoGradGuard no_grad;
  const auto before = rows_of(model);
  method->named_parameters()["encoder.embedding.weight"][1].add_(1.0);
  const auto moved = (rows_of(model) - before).abs().amax(1);
  for (int64_t t = 0; t < 3; ++t) EXPECT_GT(moved[t].item<float>(), 0.0f) << t;
}

TEST(PTuning, EncodersHaveTheNumbersTheReadmeSays) {
  // p = 3, d = 2, h = 5.
  const auto numbers = [](Table options) {
    testing::ToyModel model(narrow());
    options["tokens"] = 3;
    options["hidden"] = 5;
    return count(*attach(model, "ptuning", options));
  };
  EXPECT_EQ(numbers({}), 6 + (10 + 5) + (25 + 5) + (10 + 2));
  const int64_t first = 2 * (4 * 5 * 2 + 4 * 25 + 8 * 5), further = 2 * (12 * 25 + 8 * 5);
  const int64_t head = (4 * 25 + 10) + (2 * 5 * 2 + 2);
  EXPECT_EQ(numbers({{"encoder", "lstm"}}), 6 + first + further + head);
  EXPECT_EQ(numbers({{"encoder", "lstm"}, {"layers", 3}}), 6 + first + 2 * further + head);
}

TEST(PTuning, IsPromptTuningWithTheRowsItsEncoderGives) {
  for (const char* encoder : {"mlp", "lstm"}) {
    testing::ToyModel one, other;
    auto method = attach(one, "ptuning", {{"tokens", 3}, {"encoder", encoder}});
    auto prompt = attach(other, "prompt", {{"tokens", 3}});
    EXPECT_FALSE(torch::allclose(outputs(one), outputs(other)));
    testing::set(*prompt, "prompt_embeddings", method->save(one).tensors.at("prompt_embeddings"));
    EXPECT_TRUE(torch::equal(outputs(one), outputs(other)));
  }
}

TEST(PTuning, DropsOutWhileTrainingAndNotInWhatIsSaved) {
  testing::ToyModel model;
  auto method = attach(model, "ptuning", {{"tokens", 4}, {"encoder", "lstm"}, {"dropout", 0.5}});
  method->eval();
  const auto wanted = rows_of(model);
  method->train();
  EXPECT_FALSE(torch::allclose(rows_of(model), wanted));
  EXPECT_TRUE(torch::equal(method->save(model).tensors.at("prompt_embeddings"), wanted));
  EXPECT_FALSE(torch::allclose(rows_of(model), wanted));
}

TEST(PTuning, FromTheVectorsAloneTheVectorsAreTrained) {
  testing::ToyModel model;
  auto method = attach(model, "ptuning", {{"tokens", 2}});
  const auto before = outputs(model);
  AdapterFiles files = method->save(model);
  EXPECT_EQ(files.extra.size(), 7u);
  EXPECT_TRUE(files.extra.count("prompt_encoder.mlp_head.4.bias"));
  files.extra.clear();
  method->load(model, files);
  EXPECT_EQ(method->named_parameters().keys(), std::vector<std::string>{"prompt_embeddings"});
  EXPECT_TRUE(method->parameters()[0].requires_grad());
  EXPECT_TRUE(torch::equal(outputs(model), before));
  EXPECT_TRUE(method->save(model).extra.empty());
}

TEST(PTuning, AnEncoderThatGivesOtherVectorsIsRefusedAndChangesNothing) {
  testing::ToyModel model;
  auto method = attach(model, "ptuning", {{"tokens", 2}});
  const auto before = outputs(model);
  AdapterFiles bad = method->save(model);
  bad.extra["prompt_encoder.mlp_head.4.bias"] = torch::full({16}, 7.0);
  EXPECT_THAT([&] { method->load(model, bad); }, ThrowsMessage<FormatError>(HasSubstr("prompt_embeddings")));
  EXPECT_TRUE(torch::equal(outputs(model), before));
}

TEST(PTuningOptions, AreChecked) {
  const std::vector<Table> wrong = {{{"tokens", 0}},
                                    {{"hidden", 0}},
                                    {{"encoder", "gru"}},
                                    {{"layers", 3}},
                                    {{"encoder", "lstm"}, {"layers", 0}},
                                    {{"dropout", 0.1}},
                                    {{"encoder", "lstm"}, {"layers", 1}, {"dropout", 0.1}},
                                    {{"encoder", "lstm"}, {"dropout", 1.0}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("ptuning", options), ConfigError) << to_json(options);
}

TEST(PTuningConfiguration, OfPeft) {
  const auto method = testing::make_method("ptuning");
  Table config = {{"peft_type", "P_TUNING"}, {"num_virtual_tokens", 7}, {"encoder_num_layers", 4}};
  EXPECT_EQ(to_json(method->options_from(config)), R"({"encoder":"mlp","tokens":7})");
  config["encoder_reparameterization_type"] = "LSTM";
  config["encoder_hidden_size"] = 12;
  EXPECT_EQ(to_json(method->options_from(config)),
            R"({"dropout":0.0,"encoder":"lstm","hidden":12,"layers":4,"tokens":7})");
  config["encoder_reparameterization_type"] = "GRU";
  EXPECT_THAT([&] { method->options_from(config); }, ThrowsMessage<FormatError>(HasSubstr("GRU")));
}

}  // namespace
}  // namespace peftlab
