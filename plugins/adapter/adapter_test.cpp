/// Adapters against their formula, done by hand. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <tuple>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

std::vector<std::string> names(const TensorMap& tensors) {
  std::vector<std::string> list;
  for (const auto& [name, tensor] : tensors) list.push_back(name);
  return list;
}

std::shared_ptr<Method> attach(testing::ToyModel& model, const Table& options) {
  model.freeze();
  auto adapter = testing::make_method("adapter", options);
  adapter->attach(model, testing::ToyTokenizer());
  return adapter;
}

/// Two wide, one layer; D = [1 2], b_D = -4, U = [10 20], b_U = [0.5 0.25] after the feed-forward part.
struct ByHand {
  explicit ByHand(const std::string& kind, Table options = {})
      : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}) {
    options["kind"] = kind;
    options["width"] = 1;
    options["nonlinearity"] = "relu";
    adapter = attach(model, options);
    const std::string at = "transformer/layers/0/mlp/dense_4h_to_h.";
    testing::set(*adapter, at + "down.weight", torch::tensor({{1.0, 2.0}}));
    testing::set(*adapter, at + "down.bias", torch::tensor({-4.0}));
    testing::set(*adapter, at + "up.weight", torch::tensor({{10.0}, {20.0}}));
    testing::set(*adapter, at + "up.bias", torch::tensor({0.5, 0.25}));
  }

  torch::Tensor feed_forward(const torch::Tensor& h, const SublayerContext& around) {
    return model.sublayer_sites().at(1)->forward(h, around);
  }

  testing::ToyModel model;
  std::shared_ptr<Method> adapter;
};

TEST(Adapter, OfHoulsbyAddsTheBottleneckToItsInput) {
  // h = [3 2]: D h + b = 3 + 4 - 4 = 3, relu 3, U 3 + b = [30.5 60.25]. h = [1 1]: 3 - 4 = -1, relu 0: the bias alone.
  const auto h = torch::tensor({{3.0, 2.0}, {1.0, 1.0}}), other = torch::tensor({{9.0, 9.0}, {9.0, 9.0}});
  const auto wanted = torch::tensor({{33.5, 62.25}, {1.5, 1.25}});
  EXPECT_TRUE(torch::equal(ByHand("houlsby").feed_forward(h, {other, other}), wanted));
  // Half of what it adds: [15.25 30.125] and [0.25 0.125].
  const auto half = torch::tensor({{18.25, 32.125}, {1.25, 1.125}});
  EXPECT_TRUE(torch::equal(ByHand("houlsby", {{"scale", 0.5}}).feed_forward(h, {other, other}), half));
}

TEST(Adapter, OfPfeifferReadsTheSumAndItsNorm) {
  const auto h = torch::tensor({{3.0, 2.0}}), residual = torch::tensor({{1.0, 0.0}}),
             other = torch::tensor({{9.0, 9.0}});
  ByHand toy("pfeiffer");
  // z = [4 2]: 4 + 4 - 4 = 4, U 4 + b = [40.5 80.25], and h is added, not z.
  EXPECT_TRUE(torch::equal(toy.feed_forward(h, {other, residual}), torch::tensor({{43.5, 82.25}})));
  // A norm that doubles: z = [8 4]: 8 + 8 - 4 = 12, U 12 + b = [120.5 240.25].
  const auto doubled = [](const torch::Tensor& sum) { return 2 * sum; };
  EXPECT_TRUE(torch::equal(toy.feed_forward(h, {other, residual, doubled}), torch::tensor({{123.5, 242.25}})));
  EXPECT_FALSE(toy.model.sublayer_sites().at(0)->extended());
}

TEST(Adapter, InParallelReadsTheResidualStreamAndCountsFourTimes) {
  const auto h = torch::tensor({{1.0, 1.0}}), residual = torch::tensor({{3.0, 2.0}}),
             other = torch::tensor({{9.0, 9.0}});
  ByHand toy("parallel");
  // D r + b = 3, U 3 + b = [30.5 60.25], four times that and h.
  EXPECT_TRUE(torch::equal(toy.feed_forward(h, {other, residual}), torch::tensor({{123.0, 242.0}})));
  EXPECT_FALSE(toy.model.sublayer_sites().at(0)->extended());
}

TEST(Adapter, KnowsTheNonlinearities) {
  const std::vector<std::tuple<std::string, double, double>> known = {
      {"swish", 1, 1 / (1 + std::exp(-1.0))},
      {"relu", -1, 0.0},
      {"gelu", 1, 0.5 * (1 + std::erf(std::sqrt(0.5)))},
      {"gelu_new", 1, 0.5 * (1 + std::tanh(std::sqrt(2 / M_PI) * 1.044715))},
      {"leakyrelu", -1, -0.01},
      {"relu2", 3, 9.0},
      {"tanh", 1, std::tanh(1.0)}};
  for (const auto& [name, x, value] : known) {
    testing::ToyModel model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
    auto adapter = attach(model, {{"width", 1}, {"nonlinearity", name}});
    testing::set(*adapter, "transformer/layers/0/attention/dense.down.weight", torch::tensor({{1.0, 0.0}}));
    testing::set(*adapter, "transformer/layers/0/attention/dense.up.weight", torch::tensor({{0.0}, {1.0}}));
    // h = [x 0]: D h = x, and U puts f(x) second.
    const auto h = torch::tensor({{x, 0.0}}, torch::kFloat32);
    const auto y = model.sublayer_sites().at(0)->forward(h, {h, h});
    EXPECT_NEAR(y[0][1].item<double>(), value, 1e-6) << name;
  }
}

TEST(Adapter, HasTheNumbersOfItsKind) {
  // d = 16, two layers: 2 d m + m + d a place; houlsby m = 1, four places; pfeiffer m = 1, two; parallel m = 8, two.
  const std::vector<std::pair<Table, int64_t>> counts = {
      {{{"layer_norms", false}}, 4 * 49},
      {{{"kind", "pfeiffer"}}, 2 * 49},
      {{{"kind", "parallel"}}, 2 * 280},
      {{{"kind", "parallel"}, {"places", "both"}, {"width", 1}}, 4 * 49},
      {{{"places", "attention"}, {"layer_norms", false}}, 2 * 49}};
  for (const auto& [options, wanted] : counts) {
    testing::ToyModel model;
    const auto adapter = attach(model, options);
    int64_t count = 0;
    for (const auto& parameter : adapter->parameters()) count += parameter.numel();
    EXPECT_EQ(count, wanted) << to_json(options);
    EXPECT_EQ(model.trained_parameters().size(), 0u) << to_json(options);
  }
}

TEST(Adapter, StartsAtTheBaseWhereTheUpMapIsZero) {
  torch::manual_seed(0);
  const std::vector<std::pair<Table, bool>> starts = {{{}, false},
                                                      {{{"init", "zero"}}, true},
                                                      // Of a single ReLU every row may be cut off.
                                                      {{{"kind", "pfeiffer"}, {"width", 6}}, false},
                                                      {{{"kind", "pfeiffer"}, {"init", "mam_adapter"}}, true},
                                                      {{{"kind", "parallel"}}, true},
                                                      {{{"kind", "parallel"}, {"init", "bert"}}, false}};
  for (const auto& [options, at_base] : starts) {
    testing::ToyModel model;
    const auto adapter = attach(model, options);
    EXPECT_EQ(adapter->starts_at_base(), at_base) << to_json(options);
    for (const auto type : {torch::kFloat32, torch::kBFloat16}) {
      const torch::Tensor h = torch::randn({3, 16}, type), residual = torch::randn({3, 16}, type);
      const torch::Tensor y = model.sublayer_sites().at(1)->forward(h, {residual, residual});
      EXPECT_EQ(y.scalar_type(), type);
      EXPECT_EQ(torch::equal(y, h), at_base) << to_json(options);
    }
  }
}

TEST(Adapter, StandsAfterBothSublayersOfEveryLayer) {
  testing::ToyModel model({.layers = 1});
  auto adapter = attach(model, {{"reduction", 8}});
  const AdapterFiles files = adapter->save(model);
  std::vector<std::string> wanted;
  for (const char* place : {"attention_adapters", "output_adapters"}) {
    for (const char* part : {"adapter_down.0.bias", "adapter_down.0.weight", "adapter_up.bias", "adapter_up.weight"}) {
      wanted.push_back(std::string("transformer.layers.0.") + place + ".adapters.peftlab." + part);
    }
  }
  EXPECT_EQ(names(files.tensors), wanted);
  // Width 16 / 8.
  EXPECT_EQ(files.tensors.at(wanted[1]).sizes(), (std::vector<int64_t>{2, 16}));
}

TEST(Adapter, TargetsAreAmongThePlacesOfTheKind) {
  const std::vector<std::string> first = {R"(transformer\.layers\.0\..*)"}, attention = {"attention.dense"};
  testing::ToyModel model, both, none;
  EXPECT_EQ(attach(model, {{"kind", "pfeiffer"}, {"targets", first}})->parameters().size(), 4u);
  EXPECT_FALSE(model.sublayer_sites().at(0)->extended());
  EXPECT_EQ(attach(both, {{"kind", "pfeiffer"}, {"places", "both"}, {"targets", first}})->parameters().size(), 8u);
  EXPECT_THROW(attach(none, {{"kind", "pfeiffer"}, {"targets", attention}}), ConfigError);
}

TEST(Adapter, NamesBertsPlacesAsTheLibraryDoes) {
  testing::ToyModel model({.layers = 1});
  model.sublayer_sites().at(0)->name = "bert.encoder.layer.0.attention.output.dense";
  model.sublayer_sites().at(1)->name = "bert.encoder.layer.0.output.dense";
  auto adapter = attach(model, {});
  const AdapterFiles files = adapter->save(model);
  EXPECT_TRUE(files.tensors.count("bert.encoder.layer.0.attention.output.adapters.peftlab.adapter_up.bias"));
  EXPECT_TRUE(files.tensors.count("bert.encoder.layer.0.output.adapters.peftlab.adapter_up.bias"));
}

TEST(Adapter, TrainsTheLayerNormsOfTheStacksItAdapts) {
  testing::ToyModel model({.layers = 1});
  attach(model, {});
  EXPECT_EQ(names(model.trained_parameters()), ([&] {
              auto norms = model.norm_parameters();
              std::sort(norms.begin(), norms.end());
              return norms;
            }()));

  // Two stacks: the second sublayer and its norm are given to a tower of its own.
  testing::ToyModel two({.layers = 1});
  two.sublayer_sites().at(1)->name = "tower.layers.0.mlp.dense_4h_to_h";
  attach(two, {{"targets", std::vector<std::string>{"tower.layers.0.mlp.dense_4h_to_h"}}});
  EXPECT_THAT(names(two.trained_parameters()), IsEmpty());

  testing::ToyModel none({.layers = 1});
  attach(none, {{"layer_norms", false}});
  EXPECT_THAT(names(none.trained_parameters()), IsEmpty());
}

TEST(Adapter, KeepsTheLayerNormsBesideTheLibrarysFile) {
  testing::ToyModel model({.layers = 1}), other({.layers = 1});
  auto adapter = attach(model, {});
  testing::set(model, "transformer.final_layernorm.bias", torch::full({16}, 7.0));
  const AdapterFiles files = adapter->save(model);
  EXPECT_EQ(names(files.extra).size(), 6u);  // three norms, weight and bias
  auto loaded = attach(other, testing::make_method("adapter")->options_from(files.config));
  loaded->load(other, files);
  EXPECT_TRUE(torch::equal(other.named_parameters()["transformer.final_layernorm.bias"], torch::full({16}, 7.0f)));

  AdapterFiles alone = files;
  alone.extra.clear();
  EXPECT_THAT([&] { loaded->load(other, alone); }, ThrowsMessage<FormatError>(HasSubstr("final_layernorm.bias")));
}

TEST(Adapter, HoulsbysStartIsCutAtTwoDeviations) {
  testing::ToyModel model;
  torch::manual_seed(0);
  auto adapter = attach(model, {{"init", "houlsby"}, {"width", 64}});
  const auto weight = adapter->named_parameters()["transformer/layers/0/attention/dense.down.weight"];
  EXPECT_LE(weight.abs().max().item<double>(), 0.02);
  // The deviation of a normal cut at two of its own: 0.8796 of it. 1,024 values.
  EXPECT_NEAR(weight.std().item<double>(), 0.008796, 0.0006);
}

TEST(Adapter, OptionsAreChecked) {
  const std::vector<Table> wrong = {{{"width", 0}},
                                    {{"reduction", 0.0}},
                                    {{"nonlinearity", "prelu"}},
                                    {{"kind", "compacter"}},
                                    {{"places", "everywhere"}},
                                    {{"scale", std::numeric_limits<double>::infinity()}},
                                    {{"init", "x"}},
                                    {{"targets", List()}},

                                    {{"width", 4}, {"reduction", 4}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("adapter", options), ConfigError) << to_json(options);
}

}  // namespace
}  // namespace peftlab
