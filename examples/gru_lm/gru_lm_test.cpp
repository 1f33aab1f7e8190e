/// The recurrent model against its formula, by hand and beside LibTorch's own GRU; its states in a cache; the methods
/// that work on it. `peftlab plugins check` tries what every model must do.

#include <peftlab/error.h>
#include <peftlab/testing/conformance.h>
#include <peftlab/testing/toy.h>

#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>

#include <cmath>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Names = std::vector<std::string>;
using Ids = std::vector<int64_t>;

const Table kConfig = {
    {"vocab_size", 32}, {"hidden_size", 12}, {"num_layers", 2}, {"max_length", 64}, {"eos_token_id", 28}};

/// Always the same weights.
std::shared_ptr<Model> make_model(const Table& config = kConfig) {
  torch::manual_seed(7);
  auto model = testing::make_model("gru_lm", config);
  model->eval();
  return model;
}

Batch batch_of(const std::vector<Ids>& sequences) {
  std::vector<Encoded> examples;
  for (const Ids& tokens : sequences) examples.push_back({tokens, Ids(tokens.size(), kNoLabel), 0, -1});
  return pack(examples);
}

torch::Tensor hidden(Model& model, const std::vector<Ids>& sequences, KeyValueCache* cache = nullptr) {
  const torch::NoGradGuard no_grad;
  return model.hidden(batch_of(sequences), cache);
}

double apart(const torch::Tensor& one, const torch::Tensor& other) { return (one - other).abs().max().item<double>(); }

// --- The formula ----------------------------------------------------------------------------------------------------

/// A unit of width 1 that reads 1 and then 2: the outputs after each, with these biases of r and z.
std::vector<double> read_one_and_two(double r_bias, double z_bias) {
  const auto model = make_model({{"vocab_size", 2}, {"hidden_size", 1}, {"num_layers", 1}});
  testing::set(*model, "embeddings.weight", torch::tensor({{1.0}, {2.0}}));
  testing::set(*model, "layers.0.input.weight", torch::tensor({{0.0}, {0.0}, {1.0}}));
  testing::set(*model, "layers.0.input.bias", torch::tensor({r_bias, 0.0, 0.0}));
  testing::set(*model, "layers.0.recurrent.weight", torch::tensor({{0.0}, {0.0}, {2.0}}));
  testing::set(*model, "layers.0.recurrent.bias", torch::tensor({0.0, z_bias, 0.5}));
  const torch::Tensor rows = hidden(*model, {{0, 1}});
  return {rows[0].item<double>(), rows[1].item<double>()};
}

TEST(GruLm, ByHand) {
  // n = tanh(x + r (2 h + 0.5)) and h <- (1 - z) n + z h, from h = 0.
  const auto expect = [](double r_bias, double z_bias, double first, double second) {
    const auto found = read_one_and_two(r_bias, z_bias);
    EXPECT_NEAR(found[0], first, 1e-6);
    EXPECT_NEAR(found[1], second, 1e-6);
  };
  // r = z = sigmoid(0) = 1/2: n = tanh(1 + 0.25); then n = tanh(2 + h + 0.25).
  const double h = std::tanh(1.25) / 2;
  expect(0, 0, h, std::tanh(2.25 + h) / 2 + h / 2);
  // r = 1 and z = 0: the state is n, and reads the whole of the one before.
  expect(100, -100, std::tanh(1.5), std::tanh(2.5 + 2 * std::tanh(1.5)));
  // r = 0 and z = 0: nothing of what came before is read.
  expect(-100, -100, std::tanh(1.0), std::tanh(2.0));
  // z = 1: the state never leaves zero.
  expect(0, 100, 0.0, 0.0);
}

TEST(GruLm, IsTheGruOfLibTorch) {
  const auto model = make_model();
  torch::nn::GRU gru(torch::nn::GRUOptions(12, 12).num_layers(2));
  const torch::NoGradGuard no_grad;
  auto wanted = gru->named_parameters();
  const auto have = model->named_parameters();
  for (const std::string layer : {"0", "1"}) {
    wanted["weight_ih_l" + layer].copy_(have["layers." + layer + ".input.weight"]);
    wanted["bias_ih_l" + layer].copy_(have["layers." + layer + ".input.bias"]);
    wanted["weight_hh_l" + layer].copy_(have["layers." + layer + ".recurrent.weight"]);
    wanted["bias_hh_l" + layer].copy_(have["layers." + layer + ".recurrent.bias"]);
  }
  const Ids tokens = {3, 9, 1, 4, 27, 8, 28};
  const torch::Tensor x = model->embedding_table().index_select(0, torch::tensor(tokens, torch::kInt64));
  const torch::Tensor rows = std::get<0>(gru->forward(x.unsqueeze(1))).squeeze(1);
  EXPECT_LT(apart(hidden(*model, {tokens}), rows), 1e-6);
  EXPECT_LT(apart(model->head(rows), torch::matmul(rows, have["lm_head.weight"].t())), 1e-6);
}

TEST(GruLm, HasTheParametersOfItsFormula) {
  const auto model = make_model();
  int64_t numbers = 0;
  for (const torch::Tensor& parameter : model->parameters()) numbers += parameter.numel();
  // Table and head 32 * 12 each; in each of two layers two maps of 36 x 12 and their biases.
  EXPECT_EQ(numbers, 2 * 32 * 12 + 2 * 2 * (36 * 12 + 36));
  Names names;
  for (const Linear* site : model->linear_sites()) names.push_back(site->name);
  EXPECT_EQ(names, (Names{"layers.0.input", "layers.0.recurrent", "layers.1.input", "layers.1.recurrent", "lm_head"}));
  EXPECT_EQ(model->linear_sites({"all-linear"}).size(), 4u);
}

TEST(GruLm, RefusesAConfigurationThatMakesNoModel) {
  for (const Table& wrong : {Table{{"hidden_size", 0}}, Table{{"num_layers", 0}}, Table{{"vocab_size", -1}},
                             Table{{"eos_token_id", 32}}, Table{{"hidden", 12}}}) {
    Table config = kConfig;
    for (const auto& [key, value] : wrong) config[key] = value;
    EXPECT_THROW(testing::make_model("gru_lm", config), ConfigError) << to_json(wrong);
  }
}

// --- Packed sequences and states ------------------------------------------------------------------------------------

TEST(GruLm, EverySequenceStartsAtZero) {
  const auto model = make_model();
  const std::vector<Ids> sequences = {{5, 2}, {3, 9, 1, 4, 27}, {7}, {20, 11, 4, 7, 13}};
  const torch::Tensor all = hidden(*model, sequences);
  int64_t at = 0;
  for (const Ids& sequence : sequences) {
    const auto length = static_cast<int64_t>(sequence.size());
    EXPECT_LT(apart(all.narrow(0, at, length), hidden(*model, {sequence})), 1e-6);
    at += length;
  }
}

TEST(GruLm, GoesOnFromTheStatesInACache) {
  const auto model = make_model();
  KeyValueCache cache(/*room=*/8);
  hidden(*model, {{5, 2}, {3, 9, 1}, {7}}, &cache);
  EXPECT_EQ(cache.seen, (Ids{2, 3, 1}));
  // The third, the first, and the third once more, by several rows at once and not in the order of their lengths.
  cache.select(torch::tensor(Ids{2, 0, 2}, torch::kInt64));
  const torch::Tensor more = hidden(*model, {{8}, {4, 6, 1}, {9, 9}}, &cache);
  const torch::Tensor last = hidden(*model, {{1}, {2}, {3}}, &cache);
  EXPECT_EQ(cache.seen, (Ids{3, 6, 4}));
  const std::vector<Ids> whole = {{7, 8, 1}, {5, 2, 4, 6, 1, 2}, {7, 9, 9, 3}};
  const std::vector<std::pair<int64_t, int64_t>> fed = {{0, 1}, {1, 3}, {4, 2}};  // rows of `more`: from, how many
  for (size_t s = 0; s < whole.size(); ++s) {
    const torch::Tensor wanted = hidden(*model, {whole[s]});
    const auto [from, count] = fed[s];
    EXPECT_LT(apart(more.narrow(0, from, count), wanted.narrow(0, wanted.size(0) - 1 - count, count)), 1e-5);
    EXPECT_LT(apart(last[static_cast<int64_t>(s)], wanted[-1]), 1e-5);
  }
  EXPECT_THAT([&] { hidden(*model, {{1}, {2}}, &cache); },
              ThrowsMessage<Error>("the cache holds 3 sequences, the batch has 2"));
}

TEST(GruLm, ReadsVirtualTokensBeforeEachSequence) {
  const auto model = make_model(), plain = make_model();
  model->freeze();
  const auto prompt = testing::make_method("prompt", {{"tokens", 2}});
  prompt->attach(*model, testing::ToyTokenizer());
  testing::set(*prompt, "prompt_embeddings",
               model->embedding_table().index_select(0, torch::tensor(Ids{17, 3}, torch::kInt64)));
  KeyValueCache cache(1);
  const torch::Tensor rows = hidden(*model, {{5}, {6, 1, 8}}, &cache);
  const torch::Tensor wanted = hidden(*plain, {{17, 3, 5}, {17, 3, 6, 1, 8}});
  EXPECT_LT(apart(rows, torch::cat({wanted.slice(0, 2, 3), wanted.slice(0, 5, 8)})), 1e-6);
  EXPECT_EQ(cache.seen, (Ids{3, 5})) << "virtual tokens are counted";
}

// --- Methods --------------------------------------------------------------------------------------------------------

testing::MethodCase case_of(const std::string& plugin, const Table& options) {
  // What is known of `options` is read inside; the laws give none.
  auto made = testing::toy_case([plugin, options](Params&) { return testing::make_method(plugin, options); });
  made.model = [] { return make_model(); };
  return made;
}

TEST(GruLm, MethodsOfSeveralKindsWorkOnIt) {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  const Table ia3 = {{"targets", Names{"input", "recurrent"}}, {"feedforward", Names{"input"}}};
  const Table lora = {{"targets", Names{"all-linear"}}, {"rank", 2}}, three = {{"tokens", 3}};
  const std::vector<std::pair<std::string, Table>> methods = {
      {"lora", lora},  {"lora", {{"dora", true}}}, {"qlora", {}},      {"adalora", {}},    {"vera", {}}, {"ia3", ia3},
      {"bitfit", {}},  {"full", {}},               {"prompt", three},  {"ptuning", three}};
  for (const auto& [plugin, options] : methods) {
    testing::MethodCase made = case_of(plugin, options);
    made.exact_gradient = options.count("dora") == 0;   // it takes the rows' lengths for constants
    made.seeded = plugin != "ia3" && plugin != "vera";  // which begin alike whatever the seed
    for (const testing::Law& law : testing::method_laws()) {
      // What a file gives back are options, which are bound to the method here.
      if (law.check == testing::law_round_trip) continue;
      for (const std::string& violation : law.check(made)) {
        ADD_FAILURE() << plugin << " " << to_json(options) << ", law " << law.name << ": " << violation;
      }
    }
  }
}

TEST(GruLm, WhatNeedsAttentionRefusesIt) {
  for (const char* plugin : {"prefix", "ptuning_v2"}) {
    const auto model = make_model();
    EXPECT_THAT([&] { testing::make_method(plugin)->attach(*model, testing::ToyTokenizer()); },
                ThrowsMessage<UnsupportedError>(HasSubstr("offers no attention")));
  }
}

}  // namespace
}  // namespace peftlab
