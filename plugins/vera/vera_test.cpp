/// VeRA against its formula, done by hand. What every method must do is in tests/conformance, and peft's own files.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Names = std::vector<std::string>;

const std::string kDense = "transformer/layers/0/attention/dense.";

/// The toy model with width 2 and feed-forward width 3; its first `dense` is y = [1 2; 3 4] x.
class Vera : public ::testing::Test {
 protected:
  Vera() : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1, .inner = 3}) {
    site = model.linear_sites({"layers.0.attention.dense"}).at(0);
    const torch::NoGradGuard no_grad;
    site->weight.copy_(torch::tensor({{1.0, 2.0}, {3.0, 4.0}}));
    site->bias.zero_();
    model.freeze();
  }

  /// Attached to `dense` (2 to 2) and both feed-forward maps (2 to 3 and 3 to 2): A is [rank, 3] and B [3, rank].
  std::shared_ptr<Method> attach(Table options, const torch::Tensor& a, const torch::Tensor& b) {
    options["targets"] = Names{"dense", "dense_h_to_4h", "dense_4h_to_h"};
    auto vera = testing::make_method("vera", options);
    vera->attach(model, testing::ToyTokenizer());
    auto buffers = vera->named_buffers();
    EXPECT_EQ(buffers["projection.vera_A"].sizes(), a.sizes());
    EXPECT_EQ(buffers["projection.vera_B"].sizes(), b.sizes());
    buffers["projection.vera_A"].copy_(a);
    buffers["projection.vera_B"].copy_(b);
    vera->eval();
    return vera;
  }

  void expect(const torch::Tensor& x, const torch::Tensor& y) const {
    EXPECT_TRUE(torch::allclose(site->forward(x), y, 1e-6, 1e-6)) << site->forward(x) << "\nwanted " << y;
  }

  testing::ToyModel model;
  Linear* site;
  const torch::Tensor ones = torch::tensor({{1.0, 1.0}});
};

TEST_F(Vera, ScalesTheSharedMatricesAndFoldsOnce) {
  auto vera = attach({{"rank", 2}}, torch::tensor({{1.0, 2.0, 9.0}, {3.0, 4.0, 9.0}}),
                     torch::tensor({{1.0, 1.0}, {1.0, 2.0}, {9.0, 9.0}}));
  testing::set(*vera, kDense + "vera_lambda_d", torch::tensor({2.0, 1.0}));
  testing::set(*vera, kDense + "vera_lambda_b", torch::tensor({10.0, 100.0}));
  // x = [1 1]: A x = [3 7] of A's first two columns; v_d * = [6 7]; B = [13 20] of B's first two rows; v_b * =
  // [130 2000]; W x = [3 7].
  expect(ones, torch::tensor({{133.0, 2007.0}}));
  vera->merge(model);
  // v_b B v_d A = [10 0; 0 100] [1 1; 1 2] [2 4; 3 4] = [10 0; 0 100] [5 8; 8 12] = [50 80; 800 1200].
  EXPECT_TRUE(torch::equal(site->weight, torch::tensor({{51.0f, 82.0f}, {803.0f, 1204.0f}})));
  expect(ones, torch::tensor({{133.0, 2007.0}}));
  EXPECT_THROW(vera->merge(model), UnsupportedError);
}

TEST_F(Vera, StartsTheVectorsAsTold) {
  auto vera = testing::make_method("vera", {{"rank", 3}, {"d_initial", -0.5}, {"targets", Names{"dense"}}});
  vera->attach(model, testing::ToyTokenizer());
  EXPECT_TRUE(torch::equal(vera->named_parameters()[kDense + "vera_lambda_d"], torch::full({3}, -0.5)));
  EXPECT_TRUE(torch::equal(vera->named_parameters()[kDense + "vera_lambda_b"], torch::zeros({2})));
  EXPECT_EQ(vera->parameters().size(), 2u);  // the matrices are not trained
}

TEST_F(Vera, DrawsTheMatricesFromTheirOwnSeedWithinTheirBound) {
  const auto drawn = [&](int64_t seed, uint64_t other) {
    testing::ToyModel fresh;
    auto vera = testing::make_method("vera", {{"rank", 50}, {"projection_seed", seed}});
    torch::manual_seed(other);
    vera->attach(fresh, testing::ToyTokenizer());
    return vera->named_buffers()["projection.vera_B"].clone();
  };
  const auto b = drawn(7, 1);
  EXPECT_TRUE(torch::equal(b, drawn(7, 2)));
  EXPECT_FALSE(torch::equal(b, drawn(8, 1)));
  // Uniform within sqrt(6 / 50) = 0.346: 2400 values nearly reach it.
  EXPECT_LE(b.abs().max().item<double>(), 0.3465);
  EXPECT_GE(b.abs().max().item<double>(), 0.34);
}

TEST_F(Vera, DropsOutOnlyTheUpdatesInputAndOnlyInTraining) {
  auto vera = attach({{"rank", 1}, {"dropout", 0.5}, {"d_initial", 1.0}}, torch::tensor({{1.0, 0.0, 0.0}}),
                     torch::tensor({{1.0}, {0.0}, {0.0}}));
  testing::set(*vera, kDense + "vera_lambda_b", torch::tensor({1.0, 1.0}));
  const auto x = torch::ones({400, 2});
  expect(x, torch::tensor({4.0, 7.0}).expand({400, 2}));
  vera->train();
  torch::manual_seed(0);
  const auto y = site->forward(x);
  // W x = 3 and 7; the update of the first, 1, becomes 0 or 2, each for about half of the rows.
  const auto kept = (y.select(1, 0) == 5.0).sum().item<int64_t>();
  EXPECT_EQ(kept + (y.select(1, 0) == 3.0).sum().item<int64_t>(), 400);
  EXPECT_NEAR(static_cast<double>(kept), 200.0, 60.0);
  EXPECT_TRUE((y.select(1, 1) == 7.0).all().item<bool>());
}

TEST_F(Vera, LeavesTheMatricesOutOfTheFileWhenTold) {
  auto vera = testing::make_method("vera", {{"save_projection", false}, {"targets", Names{"dense"}}});
  vera->attach(model, testing::ToyTokenizer());
  const AdapterFiles files = vera->save(model);
  EXPECT_EQ(files.tensors.size(), 2u);
  EXPECT_EQ(files.tensors.count("base_model.vera_A"), 0u);
}

TEST(VeraOptions, AreChecked) {
  const std::vector<Table> wrong = {{{"rank", 0}},       {{"d_initial", 0.0}},      {{"dropout", 1.0}},
                                    {{"dropout", -0.1}}, {{"projection_seed", -1}}, {{"targets", List()}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("vera", options), ConfigError) << to_json(options);
}

TEST(VeraConfiguration, SmallestOfPeftTakesPeftsDefaults) {
  const Table options = testing::make_method("vera")->options_from({{"peft_type", "VERA"}});
  EXPECT_EQ(to_json(options),
            R"({"d_initial":0.1,"dropout":0.0,"projection_seed":0,"rank":256,"save_projection":true})");
}

TEST(VeraConfiguration, RefusesByNameWhatItCannotCompute) {
  const auto vera = testing::make_method("vera");
  const std::vector<std::pair<std::string, Value>> asked = {{"bias", "all"},
                                                            {"layers_to_transform", 0},
                                                            {"modules_to_save", List{"embeddings"}},
                                                            {"a_key_of_tomorrow", 1.5},
                                                            {"peft_type", "LORA"}};
  for (const auto& [key, value] : asked) {
    Table config = {{"peft_type", "VERA"}};
    config[key] = value;
    EXPECT_THAT([&] { vera->options_from(config); },
                ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
  EXPECT_THROW(vera->options_from({{"peft_type", "VERA"}, {"r", "8"}}), FormatError);
}

}  // namespace
}  // namespace peftlab
