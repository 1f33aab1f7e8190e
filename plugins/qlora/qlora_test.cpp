/// QLoRA against its formula, done by hand. What every method must do is in tests/conformance; the codes themselves are
/// held to bitsandbytes in core/src/quantize.

#include <peftlab/error.h>
#include <peftlab/nn/quantized_maps.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<std::string> kDense = {"transformer.layers.0.attention.dense"};

/// The toy model with width 2; its first `dense` is y = [1 2; 3 4] x.
class Qlora : public ::testing::Test {
 protected:
  Qlora() : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}) {
    site = model.linear_sites(kDense).at(0);
    const torch::NoGradGuard no_grad;
    site->weight.copy_(torch::tensor({{1.0, 2.0}, {3.0, 4.0}}));
    site->bias.zero_();
    model.freeze();
  }

  std::shared_ptr<Method> attach(Table options) {
    options["targets"] = kDense;
    auto qlora = testing::make_method("qlora", options);
    qlora->prepare(model);
    qlora->attach(model, testing::ToyTokenizer());
    qlora->eval();
    return qlora;
  }

  testing::ToyModel model;
  Linear* site;
  const torch::Tensor ones = torch::tensor({{1.0, 1.0}});
};

// One block: the largest magnitude is 4, and 1 2 3 4 by it are .25 .5 .75 1. The nearest of NF4's values are .2461123,
// .4407098 (.5 lies below the middle of .4407098 and .5626170, .5016634), .7229568 and 1.
TEST_F(Qlora, KeepsTheBaseInNf4) {
  attach({{"rank", 1}, {"double_quantization", false}});
  const auto wanted = 4.0 * torch::tensor({{0.24611230, 0.44070983}, {0.72295684, 1.0}});
  EXPECT_FALSE(site->weight.defined());
  EXPECT_TRUE(torch::allclose(site->weight_as(torch::kFloat32), wanted, 1e-6, 0.0));
  EXPECT_TRUE(torch::allclose(site->forward(ones), torch::tensor({{2.7472885, 6.8918274}}), 1e-6, 0.0));
}

// A = [3 4], B = [5 6]^T, s = 2: to W x, s B A x = 2 [5 6] 7 = [70 84] is added. Merged, both are one matrix of numbers.
TEST_F(Qlora, AddsTheUpdateOfLoraAndMergesIt) {
  auto qlora = attach({{"rank", 1}, {"alpha", 2}, {"double_quantization", false}});
  testing::set(*qlora, "transformer/layers/0/attention/dense.lora_A", torch::tensor({{3.0, 4.0}}));
  testing::set(*qlora, "transformer/layers/0/attention/dense.lora_B", torch::tensor({{5.0}, {6.0}}));
  const auto wanted = torch::tensor({{72.7472885, 90.8918274}});
  EXPECT_TRUE(torch::allclose(site->forward(ones), wanted, 1e-6, 0.0));
  const auto codes = site->quantized();
  qlora->merge(model);
  EXPECT_FALSE(site->quantized());
  EXPECT_TRUE(torch::allclose(site->forward(ones), wanted, 1e-6, 0.0));
  qlora->unmerge(model);
  EXPECT_EQ(site->quantized(), codes);
}

TEST_F(Qlora, LeavesWhatIsNotNamed) {
  attach({{"rank", 1}, {"quantized_targets", kDense}});
  for (const Linear* map : model.linear_sites()) EXPECT_EQ(map->quantized() != nullptr, map == site) << map->name;
}

TEST_F(Qlora, WithoutQuantizationIsLora) {
  const auto before = site->forward(ones);
  EXPECT_TRUE(attach({{"rank", 1}, {"quantization", "none"}})->starts_at_base());
  EXPECT_TRUE(torch::equal(site->forward(ones), before));
}

TEST_F(Qlora, RefusesToQuantizeTwice) {
  attach({{"rank", 1}});
  EXPECT_THAT([&] { attach({{"rank", 1}}); }, ThrowsMessage<ConfigError>(HasSubstr("is quantized already (nf4)")));
}

TEST(QloraOptions, AreChecked) {
  Params both(Table{{"quantization", "nf5"}, {"block_size", 48}});
  QuantizedMaps maps(both);
  EXPECT_EQ(both.problems().size(), 2u);
  for (const Table& wrong :
       std::vector<Table>{{{"quantization", "nf5"}}, {{"block_size", 48}}, {{"block_size", 8192}}}) {
    EXPECT_THROW(testing::make_method("qlora", wrong), ConfigError) << to_json(wrong);
  }
}

TEST_F(Qlora, FilesSayHowTheBaseWasKept) {
  const auto qlora = attach({{"rank", 1}, {"quantization", "int8"}, {"block_size", 128}});
  const Table config = qlora->save(model).config;
  EXPECT_EQ(config.at("peft_type"), Value("LORA"));
  Table options = qlora->options_from(config);
  EXPECT_EQ(options.at("quantization"), Value("int8"));
  EXPECT_EQ(options.at("block_size"), Value(128));
  EXPECT_EQ(options.at("rank"), Value(1));
}

}  // namespace
}  // namespace peftlab
