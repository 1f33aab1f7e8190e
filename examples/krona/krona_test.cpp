/// KronA against its formula, done by hand, and every law of methods on the toy model with options that
/// `peftlab plugins check` does not try.

#include <peftlab/error.h>
#include <peftlab/nn/quantized_maps.h>
#include <peftlab/plugin.h>
#include <peftlab/testing/conformance.h>
#include <peftlab/testing/toy.h>

#include <ATen/Parallel.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using Names = std::vector<std::string>;

const std::string kDense = "transformer.layers.0.attention.dense";

/// The toy model with width 4 and one layer; its maps are of several shapes.
class Krona : public ::testing::Test {
 protected:
  Krona() : model({.hidden = 4, .layers = 1, .heads = 1, .kv_heads = 1, .inner = 32}) { model.freeze(); }

  std::shared_ptr<Method> attach(Table options, const Names& targets = {kDense}) {
    options["targets"] = targets;
    auto krona = testing::make_method("krona", options);
    krona->attach(model, testing::ToyTokenizer());
    return krona;
  }

  /// A = [1 2; 3 4] and B = [0 1; 5 2] at the first `dense`.
  static void give(Method& krona) {
    testing::set(krona, flat_name(kDense) + ".krona_A", torch::tensor({{1.0, 2.0}, {3.0, 4.0}}));
    testing::set(krona, flat_name(kDense) + ".krona_B", torch::tensor({{0.0, 1.0}, {5.0, 2.0}}));
  }

  Linear* site(const std::string& name = kDense) { return model.linear_sites({name}).front(); }

  testing::ToyModel model;
};

/// A kron B of give(): each number of A times the whole of B.
const torch::Tensor kProduct = torch::tensor({{0.0f, 1.0f, 0.0f, 2.0f},
                                              {5.0f, 2.0f, 10.0f, 4.0f},
                                              {0.0f, 3.0f, 0.0f, 4.0f},
                                              {15.0f, 6.0f, 20.0f, 8.0f}});

TEST_F(Krona, AddsTheScaledProductTimesX) {
  const auto krona = attach({{"factor", 2}, {"scale", 0.5}});
  give(*krona);
  // x = [1 2 3 4]: the rows of the product give 2 + 8 = 10, 5 + 4 + 30 + 16 = 55, 6 + 16 = 22, 15 + 12 + 60 + 32 = 119.
  const torch::Tensor x = torch::tensor({{1.0, 2.0, 3.0, 4.0}});
  const torch::Tensor added = site()->forward(x) - site()->base(x);
  EXPECT_TRUE(torch::allclose(added, torch::tensor({{5.0f, 27.5f, 11.0f, 59.5f}}), 0.0, 1e-4)) << added;
  krona->weigh(-2.0);
  EXPECT_TRUE(torch::allclose(site()->forward(x) - site()->base(x), -2 * added, 0.0, 1e-4));
}

TEST_F(Krona, TakesTheDivisorsNearestToTheFactor) {
  const auto shapes = [](int64_t hidden, int64_t inner, int64_t factor) {
    testing::ToyModel model({.hidden = hidden, .layers = 1, .heads = 1, .kv_heads = 1, .inner = inner});
    auto krona = testing::make_method("krona", {{"factor", factor}, {"targets", Names{"dense_h_to_4h"}}});
    krona->attach(model, testing::ToyTokenizer());
    std::vector<int64_t> sizes;
    for (const torch::Tensor& factors : krona->parameters()) {
      sizes.insert(sizes.end(), {factors.size(0), factors.size(1)});
    }
    return sizes;  // a1, a2, b1, b2
  };
  using Sizes = std::vector<int64_t>;
  EXPECT_EQ(shapes(4, 32, 4), (Sizes{4, 4, 8, 1}));
  EXPECT_EQ(shapes(4, 6, 3), (Sizes{3, 2, 2, 2})) << "of 2 and 4, as near to 3, the smaller";
  EXPECT_EQ(shapes(18, 20, 5), (Sizes{5, 6, 4, 3}));
  EXPECT_EQ(shapes(7, 11, 4), (Sizes{1, 1, 11, 7})) << "of 1 and 7, as near to 4, the smaller; 1 is nearer than 11";
  EXPECT_EQ(shapes(4, 6, 1000), (Sizes{6, 4, 1, 1}));
  EXPECT_EQ(shapes(4, 6, 1), (Sizes{1, 1, 6, 4}));
}

TEST_F(Krona, IsTheProductForEveryShapeInBothOrders) {
  torch::manual_seed(1);
  for (const char* name : {"query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"}) {
    for (const int64_t factor : {1, 2, 4, 16}) {
      Linear* map = site(name);
      map->restore();
      const auto krona = attach({{"factor", factor}, {"scale", 1.5}}, {name});
      const auto parameters = krona->named_parameters();
      const torch::NoGradGuard no_grad;
      for (const auto& item : parameters) item.value().normal_();
      const std::string module = flat_name(map->name);
      const torch::Tensor product = torch::kron(parameters[module + ".krona_A"], parameters[module + ".krona_B"]);
      const torch::Tensor x = torch::randn({2, 3, map->in});
      const torch::Tensor wanted = map->base(x) + 1.5 * torch::matmul(x, product.t());
      EXPECT_TRUE(torch::allclose(map->forward(x), wanted, 1e-4, 1e-4)) << name << " with factor " << factor;
    }
  }
}

TEST_F(Krona, MergesTheProductAndTakesItOutAgain) {
  const auto krona = attach({{"factor", 2}, {"scale", 2.0}});
  give(*krona);
  const torch::Tensor before = site()->weight, values = before.clone();
  EXPECT_THROW(krona->unmerge(model), UnsupportedError);
  krona->merge(model);
  EXPECT_TRUE(torch::equal(site()->weight, values + 2 * kProduct));
  EXPECT_TRUE(torch::equal(before, values)) << "the old tensor may lie in a file that others read";
  EXPECT_THROW(krona->merge(model), UnsupportedError);
  EXPECT_THROW(krona->weigh(0.5), UnsupportedError);
  krona->unmerge(model);
  EXPECT_EQ(site()->weight.data_ptr(), before.data_ptr());
  krona->weigh(3.0);
  krona->merge(model);
  EXPECT_TRUE(torch::equal(site()->weight, values + 6 * kProduct));
}

TEST_F(Krona, WhatWasMergedLastIsUnmergedFirst) {
  const auto first = attach({{"factor", 2}}), second = attach({{"factor", 2}});
  give(*first);
  give(*second);
  const torch::Tensor before = site()->weight.clone();
  first->merge(model);
  second->merge(model);
  EXPECT_THAT([&] { first->unmerge(model); }, ThrowsMessage<UnsupportedError>(HasSubstr(kDense)));
  second->unmerge(model);
  first->unmerge(model);
  EXPECT_TRUE(torch::equal(site()->weight, before));
}

TEST_F(Krona, OptionsAreChecked) {
  for (const Table& options : {Table{{"factor", 0}}, Table{{"factor", 2.5}}, Table{{"scale", 0.0}},
                               Table{{"scale", "x"}}, Table{{"targets", List()}}, Table{{"rank", 8}}}) {
    EXPECT_THROW(testing::make_method("krona", options), ConfigError) << to_json(options);
  }
  EXPECT_THAT([&] { attach({}, {"dens"}); }, ThrowsMessage<ConfigError>(HasSubstr("dense")));
}

TEST_F(Krona, ItsFileGivesTheOptionsBack) {
  const auto krona = attach({{"factor", 2}, {"scale", 0.25}}, {"attention.dense", "dense_4h_to_h"});
  const AdapterFiles files = krona->save(model);
  EXPECT_EQ(to_json(krona->options_from(files.config)),
            R"({"factor":2,"scale":0.25,"targets":["attention.dense","dense_4h_to_h"]})");
  EXPECT_EQ(files.tensors.count("base_model.model." + kDense + ".krona_A"), 1u);
  for (const auto& [key, value] : std::vector<std::pair<std::string, Value>>{
           {"peft_type", "LOKR"}, {"decompose_both", true}, {"modules_to_save", List{"head"}}}) {
    Table config = files.config;
    config[key] = value;
    EXPECT_THAT([&] { krona->options_from(config); },
                ThrowsMessage<FormatError>(HasSubstr("`" + key + "` = " + to_json(value))));
  }
}

// --- The laws -------------------------------------------------------------------------------------------------------

/// A KronA that reads the options at hand, so that a law sees what it declares.
std::shared_ptr<Method> make(Params& params) {
  const char* folder = std::getenv("PEFTLAB_PLUGIN_PATH");
  static void* const library = ::dlopen((std::string(folder ? folder : ".") + "/krona.so").c_str(), RTLD_NOW);
  if (!library) throw PluginError(::dlerror());
  const auto* manifest = static_cast<const Manifest*>(::dlsym(library, "peftlab_plugin"));
  return std::shared_ptr<Method>(static_cast<Method*>(manifest->create(&params)));
}

struct Trial {
  const char* name;
  testing::MethodCase given;
};

std::vector<Trial> trials() {
  std::vector<Trial> all;
  const auto add = [&](const char* name, const Table& options) -> testing::MethodCase& {
    all.push_back({name, testing::toy_case(make, options)});
    return all.back().given;
  };
  // In each of two layers a map of 32 x 16: A [8, 8], B [4, 2].
  add("default", {}).parameters = 2 * (64 + 8);
  add("default_bfloat16", {}).type = torch::kBFloat16;
  add("scaled_everywhere", {{"targets", Names{"all-linear"}}, {"factor", 3}, {"scale", -2.5}});
  add("pattern", {{"targets", Names{R"(.*\.0\..*dense)"}}, {"factor", 16}});
  // Maps of 20 x 18: A [5, 6] and B [4, 3] have the ranks 5 and 3.
  auto& narrow = add("narrow", {{"targets", Names{"dense_h_to_4h"}}, {"factor", 5}});
  narrow.model = [] { return std::make_shared<testing::ToyModel>(testing::ToySizes{.hidden = 18, .inner = 20}); };
  narrow.parameters = 2 * (30 + 12);
  narrow.max_rank = 15;
  auto& quantized = add("quantized", {{"targets", Names{"all-linear"}}});
  quantized.model = [plain = quantized.model] {
    const auto model = plain();
    Params defaults;
    QuantizedMaps(defaults).apply(*model);
    return model;
  };
  return all;
}

TEST(KronaLaws, Hold) {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  ASSERT_GE(testing::method_laws().size(), 15u);
  for (const Trial& trial : trials()) {
    for (const testing::Law& law : testing::method_laws()) {
      for (const std::string& violation : law.check(trial.given)) {
        ADD_FAILURE() << trial.name << ", law " << law.name << ": " << violation;
      }
    }
  }
}

}  // namespace
}  // namespace peftlab
