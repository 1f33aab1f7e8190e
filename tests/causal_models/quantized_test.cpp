/// Folders that transformers with bitsandbytes quantized (tests/oracle/quantized), and quantized folders written here.

#include "../support/causal_models.h"
#include "checkpoint/quantization.h"

#include <peftlab/nn/quantized_maps.h>

#include <gmock/gmock.h>

namespace peftlab::causal {
namespace {

namespace fs = std::filesystem;

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::vector<int64_t> kTokens = {3, 9, 1, 4, 27, 8, 28, 60, 33, 5};

fs::path oracle(const std::string& name) { return folder("..") / "quantized" / name; }

/// The model of a folder, quantized or not.
std::shared_ptr<Model> open(const fs::path& folder, torch::ScalarType type = torch::kFloat32) {
  Table config = checkpoint::read_config(folder);
  const bool is_quantized = checkpoint::take_quantization(config, "config.json");
  auto model = make_model(config);
  checkpoint::load_weights(*model, folder, type, std::nullopt, is_quantized);
  return model;
}

/// A copy of a folder, to be changed.
fs::path copy_of(const std::string& name) {
  const fs::path copy = fs::path(::testing::TempDir()) / ("quantized_" + name);
  fs::remove_all(copy);
  fs::copy(oracle(name), copy);
  return copy;
}

class QuantizedFolders : public ::testing::TestWithParam<const char*> {};

TEST_P(QuantizedFolders, GiveTheLogitsOfTransformers) {
  static const TensorMap wanted = checkpoint::read_tensors(oracle("expected.safetensors"));
  const auto model = open(oracle(GetParam()));
  EXPECT_LT(difference(logits(*model, {kTokens}), wanted.at(GetParam())), 1e-5);
  for (const Linear* site : model->linear_sites()) {
    EXPECT_EQ(site->quantized() == nullptr, site->name == "lm_head") << site->name;
  }
}

TEST_P(QuantizedFolders, AreWrittenAsTheyWereRead) {
  const fs::path written = fs::path(::testing::TempDir()) / ("written_" + std::string(GetParam()));
  const auto model = open(oracle(GetParam()));
  checkpoint::save_model(*model, oracle(GetParam()), written);
  const auto before = checkpoint::read_tensors(oracle(GetParam()) / "model.safetensors");
  const auto after = checkpoint::read_tensors(written / "model.safetensors");
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before) {
    ASSERT_TRUE(after.contains(name)) << name;
    EXPECT_TRUE(torch::equal(tensor, after.at(name))) << name;
  }
  EXPECT_EQ(checkpoint::read_config(written).at("quantization_config"),
            checkpoint::read_config(oracle(GetParam())).at("quantization_config"));
}

TEST_P(QuantizedFolders, AreComputedInBfloat16Too) {
  const auto wide = open(oracle(GetParam())), narrow = open(oracle(GetParam()), torch::kBFloat16);
  for (const Linear* site : narrow->linear_sites()) EXPECT_EQ(site->dtype(), torch::kBFloat16);
  const auto found = logits(*narrow, {kTokens});
  EXPECT_EQ(found.scalar_type(), torch::kBFloat16);
  const auto wanted = logits(*wide, {kTokens});
  EXPECT_LT(difference(found.to(torch::kFloat32), wanted), 0.05 * wanted.abs().max().item<double>());
}

INSTANTIATE_TEST_SUITE_P(Transformers, QuantizedFolders, ::testing::Values("llama_nf4", "llama_int8", "gpt2_fp4"));

// Quantizing what a 4-bit weight reads back as gives the same codes again.
TEST(QuantizedFolders, AQuantizedModelKeepsItsNumbersWhenQuantizedAgain) {
  const auto model = open(oracle("gpt2_fp4"));
  const auto before = logits(*model, {kTokens});
  for (Linear* site : model->linear_sites()) site->set_weight({site->weight_as(torch::kFloat32), nullptr});
  EXPECT_LT(difference(logits(*model, {kTokens}), before), 1e-5);
  Params options(Table{{"quantization", "fp4"}, {"double_quantization", false}});
  QuantizedMaps maps(options);
  maps.apply(*model);
  EXPECT_TRUE(maps.is_exact());
  EXPECT_LT(difference(logits(*model, {kTokens}), before), 1e-5);
}

TEST(QuantizedFolders, OfWhichATensorIsMissingAreRefused) {
  const fs::path copy = copy_of("llama_nf4");
  auto tensors = checkpoint::read_tensors(copy / "model.safetensors");
  tensors.erase("model.layers.1.self_attn.q_proj.weight.absmax");
  checkpoint::write_safetensors(copy / "model.safetensors", tensors);
  EXPECT_THAT([&] { open(copy); },
              ThrowsMessage<FormatError>(HasSubstr("model.layers.1.self_attn.q_proj.weight.absmax: is missing")));
}

TEST(QuantizedFolders, ThatDoNotSayOrDoNotHoldItAreRefused) {
  const fs::path copy = copy_of("llama_nf4");
  Table config = checkpoint::read_config(copy);
  Table plain = config;
  plain.erase("quantization_config");
  write_text(copy / "config.json", to_json(plain));
  EXPECT_THAT([&] { open(copy); }, ThrowsMessage<FormatError>(HasSubstr("q_proj.weight.absmax")));

  write_text(copy / "config.json", to_json(config));
  auto tensors = checkpoint::read_tensors(folder("llama") / "model.safetensors");
  checkpoint::write_safetensors(copy / "model.safetensors", tensors);
  EXPECT_THAT([&] { open(copy); }, ThrowsMessage<FormatError>(HasSubstr("no linear map is quantized")));
}

// A folder of a model without a head may hold what another task needs: mask buffers here.
TEST(QuantizedFolders, WhatTheModelPassesOverIsKept) {
  const fs::path old = folder("gpt2_old");
  const auto others = checkpoint::passed_over(*open(old), old);
  ASSERT_TRUE(others.contains("transformer.h.0.attn.bias"));
  const fs::path written = fs::path(::testing::TempDir()) / "quantized_with_others";
  checkpoint::save_model(*open(old), old, written, std::nullopt, others);
  EXPECT_TRUE(checkpoint::read_tensors(written / "model.safetensors").contains("transformer.h.0.attn.bias"));
  EXPECT_EQ(difference(logits(*open(written), {kTokens}), logits(*open(old), {kTokens})), 0.0);
}

TEST(QuantizedFolders, OfAnotherMethodAreRefused) {
  Table config = {{"quantization_config", Table{{"quant_method", "gptq"}, {"bits", 4}}}};
  EXPECT_THAT([&] { checkpoint::take_quantization(config, "config.json"); },
              ThrowsMessage<FormatError>(HasSubstr("\"gptq\": only \"bitsandbytes\" is read here")));
  config = {{"quantization_config", Table{{"quant_method", "bitsandbytes"}}}};
  EXPECT_THROW(checkpoint::take_quantization(config, "config.json"), FormatError);
  config = {{"quantization_config", Value()}};
  EXPECT_FALSE(checkpoint::take_quantization(config, "config.json"));
}

}  // namespace
}  // namespace peftlab::causal
