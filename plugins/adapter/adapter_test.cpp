/// Adapters against their formula, done by hand. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

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

TEST(Adapter, AddsTheBottleneckToItsInput) {
  testing::ToyModel model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
  auto adapter = attach(model, {{"width", 1}, {"nonlinearity", "relu"}});
  const std::string at = "transformer/layers/0/mlp/dense_4h_to_h.";
  testing::set(*adapter, at + "down.weight", torch::tensor({{1.0, 2.0}}));
  testing::set(*adapter, at + "down.bias", torch::tensor({-4.0}));
  testing::set(*adapter, at + "up.weight", torch::tensor({{10.0}, {20.0}}));
  testing::set(*adapter, at + "up.bias", torch::tensor({0.5, 0.25}));
  // h = [3 2]: D h + b = 3 + 4 - 4 = 3, relu 3, U 3 + b = [30.5 60.25]. h = [1 1]: 3 - 4 = -1, relu 0: the bias alone.
  const auto h = torch::tensor({{3.0, 2.0}, {1.0, 1.0}});
  const auto wanted = torch::tensor({{33.5, 62.25}, {1.5, 1.25}});
  EXPECT_TRUE(torch::equal(model.sublayer_sites().at(1)->forward(h, {h, h}), wanted));
}

TEST(Adapter, KnowsTheNonlinearities) {
  const std::vector<std::pair<std::string, double>> at_one = {{"swish", 1 / (1 + std::exp(-1.0))},
                                                              {"relu", 1.0},
                                                              {"gelu", 0.5 * (1 + std::erf(std::sqrt(0.5)))},
                                                              {"tanh", std::tanh(1.0)}};
  for (const auto& [name, value] : at_one) {
    testing::ToyModel model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
    auto adapter = attach(model, {{"width", 1}, {"nonlinearity", name}});
    testing::set(*adapter, "transformer/layers/0/attention/dense.down.weight", torch::tensor({{1.0, 0.0}}));
    testing::set(*adapter, "transformer/layers/0/attention/dense.up.weight", torch::tensor({{0.0}, {1.0}}));
    // h = [1 0]: D h = 1, and U puts f(1) second.
    const auto h = torch::tensor({{1.0, 0.0}});
    const auto y = model.sublayer_sites().at(0)->forward(h, {h, h});
    EXPECT_NEAR(y[0][1].item<double>(), value, 1e-6) << name;
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
  const std::vector<Table> wrong = {{{"width", 0}},  {{"reduction", 0.0}},  {{"nonlinearity", "softplus"}},
                                    {{"init", "x"}}, {{"targets", List()}}, {{"width", 4}, {"reduction", 4}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("adapter", options), ConfigError) << to_json(options);
}

TEST(AdapterConfiguration, OfTheLibraryTrainsNoLayerNorm) {
  const auto adapter = testing::make_method("adapter");
  EXPECT_EQ(to_json(adapter->options_from({{"config", "double_seq_bn"}, {"name", "mine"}})),
            R"({"layer_norms":false})");
  const Table four = {
      {"mh_adapter", true}, {"output_adapter", true}, {"reduction_factor", 8}, {"non_linearity", "relu"}};
  EXPECT_EQ(to_json(adapter->options_from({{"config", four}, {"name", "mine"}})),
            R"({"layer_norms":false,"nonlinearity":"relu","reduction":8.0})");
}

TEST(AdapterConfiguration, TakesTheNameTheAdapterHasThere) {
  testing::ToyModel model({.layers = 1});
  auto adapter = attach(model, {{"layer_norms", false}});
  AdapterFiles files = adapter->save(model), renamed;
  renamed.config = files.config;
  renamed.config["name"] = "mine";
  for (const auto& [name, tensor] : files.tensors) {
    std::string other = name;
    renamed.tensors[other.replace(other.find(".peftlab."), 9, ".mine.")] = tensor + 1;
  }
  adapter->load(model, renamed);
  for (const auto& [name, tensor] : adapter->save(model).tensors)
    EXPECT_TRUE(torch::equal(tensor, files.tensors[name] + 1));
}

TEST(AdapterConfiguration, RefusesByNameWhatItCannotCompute) {
  const auto adapter = testing::make_method("adapter");
  const std::vector<std::pair<std::string, Value>> asked = {
      {"mh_adapter", false},   {"is_parallel", true},       {"scaling", 4.0},
      {"scaling", "learned"},  {"ln_after", true},          {"residual_before_ln", "post_add"},
      {"cross_adapter", true}, {"phm_layer", true},         {"dropout", 0.1},
      {"leave_out", List{1}},  {"inv_adapter", "nice"},     {"non_linearity", "leakyrelu"},
      {"use_gating", true},    {"original_ln_before", true}};
  for (const auto& [key, value] : asked) {
    Table inner = {
        {"mh_adapter", true}, {"output_adapter", true}, {"reduction_factor", 16}, {"non_linearity", "swish"}};
    inner[key] = value;
    EXPECT_THAT(
        [&] {
          adapter->options_from({{"config", inner}});
        },
        ThrowsMessage<FormatError>(HasSubstr("`config." + key + "` = " + to_json(value))));
  }
  EXPECT_THAT([&] { adapter->options_from({{"config", "seq_bn"}}); }, ThrowsMessage<FormatError>(HasSubstr("seq_bn")));
  EXPECT_THROW(adapter->options_from({{"config", Table{{"reduction_factor", Table{{"1", 8}}}}}}), FormatError);
}

}  // namespace
}  // namespace peftlab
