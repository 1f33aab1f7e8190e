/// What a checkpoint holds of quantized weights, and what is refused.

#include <peftlab/error.h>
#include <peftlab/nn/weight_storage.h>
#include <quantize/golden.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace peftlab {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::ThrowsMessage;

using Tensors = std::map<std::string, torch::Tensor>;
const std::string kState = "weight.quant_state.bitsandbytes__nf4";

std::string text_of(const torch::Tensor& bytes) {
  return {reinterpret_cast<const char*>(bytes.const_data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel())};
}

torch::Tensor bytes_of(const std::string& text) {
  auto bytes = torch::empty({static_cast<int64_t>(text.size())}, torch::kUInt8);
  std::memcpy(bytes.mutable_data_ptr(), text.data(), text.size());
  return bytes;
}

Tensors saved_layer() {
  Tensors saved;
  for (const auto& [name, tensor] : golden()) {
    if (name.starts_with("saved.weight")) saved[name.substr(6)] = tensor;
  }
  return saved;
}

TEST(Storage, ReadsWhatBitsandbytesSavedAndWritesTheSame) {
  const auto saved = saved_layer();
  const auto weight = read_quantized(saved, "layer", 128, 160);
  EXPECT_EQ(weight->format().type, "nf4");
  EXPECT_EQ(weight->format().block_size, 64);
  EXPECT_TRUE(weight->format().double_quantization);
  EXPECT_EQ(weight->dtype(), torch::kFloat32);
  EXPECT_EQ(fnv(weight->dense(torch::kFloat32)), golden("gauss.nf4.dq.dequant_f32.fnv").item<int64_t>());

  const auto written = weight->tensors();
  EXPECT_THAT(written, ElementsAre(Key("weight"), Key("weight.absmax"), Key("weight.nested_absmax"),
                                   Key("weight.nested_quant_map"), Key("weight.quant_map"), Key(kState)));
  for (const auto& [name, tensor] : saved) EXPECT_TRUE(same_bits(written.at(name), tensor)) << name;
  EXPECT_EQ(text_of(written.at(kState)), text_of(saved.at(kState)));
}

TEST(Storage, StatesAreWrittenAsPythonDoes) {
  const auto state = [](const QuantizationFormat& format, torch::ScalarType type) {
    return text_of(quantize(torch::ones({2, 64}).to(type), format)
                       ->tensors()
                       .at("weight.quant_state.bitsandbytes__" + format.type));
  };
  EXPECT_EQ(state({"fp4", 32, false}, torch::kHalf),
            R"({"quant_type": "fp4", "blocksize": 32, "dtype": "float16", "shape": [2, 64]})");
  EXPECT_EQ(state({"nf4", 64, true}, torch::kBFloat16),
            R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [2, 64], "nested_blocksize": 256, )"
            R"("nested_dtype": "float32", "nested_offset": 1.0})");
}

TEST(Storage, EachFormatComesBack) {
  torch::manual_seed(9);
  for (const auto& format : std::vector<QuantizationFormat>{
           {"nf4", 64, true}, {"nf4", 512, false}, {"fp4", 32, true}, {"int8"}, {"bfloat16"}}) {
    const auto weight = quantize(torch::randn({33, 75}), format);
    const auto back = read_quantized(weight->tensors(), "m", 75, 33);
    EXPECT_EQ(back->format().type, format.type);
    EXPECT_EQ(back->in(), 75);
    EXPECT_EQ(back->out(), 33);
    EXPECT_EQ(back->bytes(), weight->bytes());
    EXPECT_TRUE(same_bits(back->dense(torch::kFloat32), weight->dense(torch::kFloat32))) << format.type;
    EXPECT_EQ(weight->to(torch::kCPU), weight);
  }
}

TEST(Storage, BytesMayStandThereAsOtherNumbers) {
  auto saved = saved_layer();
  saved["weight"] = saved["weight"].view({-1}).view(torch::kBFloat16).view({-1, 1});
  const auto weight = read_quantized(saved, "layer", 128, 160);
  EXPECT_TRUE(same_bits(weight->tensors().at("weight"), golden("saved.weight")));
}

TEST(Storage, NamesOfInt8) {
  const auto tensors = quantize(torch::ones({2, 3}), {"int8"})->tensors();
  EXPECT_THAT(tensors, ElementsAre(Key("SCB"), Key("weight"), Key("weight_format")));
  EXPECT_EQ(tensors.at("weight_format").dim(), 0);
  EXPECT_EQ(tensors.at("weight_format").item<uint8_t>(), 0);
}

TEST(Storage, KeepsAboutFourBitsANumber) {
  // 4 bits, 8 / 64 for the scale, 32 / (64 * 256) for its scale, and less than 2000 bytes of tables and text.
  const auto weight = quantize(torch::randn({512, 512}), {"nf4"});
  const int64_t codes = 512 * 512 / 2 + 512 * 512 / 64 + 512 * 512 / 64 / 256 * 4;
  EXPECT_GE(weight->bytes(), codes);
  EXPECT_LT(weight->bytes(), codes + 2000);
}

TEST(Storage, DoesNotShareMemoryWithTheWeight) {
  auto dense = torch::ones({2, 64}, torch::kBFloat16);
  const auto weight = quantize(dense, {"bfloat16"});
  dense.zero_();
  EXPECT_EQ(weight->dense(torch::kFloat32).sum().item<float>(), 128.0f);
}

TEST(Storage, WrongFormatsAreRefused) {
  const auto weight = torch::ones({2, 64});
  EXPECT_THROW(quantize(weight, {"nf5"}), ConfigError);
  EXPECT_THROW(quantize(weight, {"nf4", 48}), ConfigError);
  EXPECT_THROW(quantize(weight.view({-1}), {"nf4"}), UnsupportedError);
  EXPECT_THROW(quantize(weight.to(torch::kDouble), {"nf4"}), UnsupportedError);
}

struct Wrong {
  std::function<void(Tensors&)> make;
  const char* name;
  const char* what;
};

/// Puts another text where the state has `from`.
std::function<void(Tensors&)> state_with(const std::string& from, const std::string& to) {
  return [=](Tensors& tensors) {
    auto text = text_of(tensors.at(kState));
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    tensors[kState] = bytes_of(text.replace(at, from.size(), to));
  };
}

TEST(Storage, WrongTensorsAreRefusedByName) {
  const std::vector<Wrong> wrongs = {
      {[](Tensors& t) { t.erase("weight"); }, "weight", "is missing"},
      {[](Tensors& t) { t.erase("weight.absmax"); }, "weight.absmax", "is missing"},
      {[](Tensors& t) { t.erase("weight.quant_map"); }, "weight.quant_map", "is missing"},
      {[](Tensors& t) { t.erase("weight.nested_absmax"); }, "weight.nested_absmax", "is missing"},
      {[](Tensors& t) { t.erase(kState); }, kState.c_str(), "is missing"},
      {[](Tensors& t) { t["weight.other"] = torch::ones({1}); }, "weight.other", "does not belong"},
      {[](Tensors& t) { t["SCB"] = torch::ones({1}); }, "SCB", "does not belong"},
      {[](Tensors& t) { t["weight"] = t["weight"].narrow(0, 1, 10239); }, "weight", "has 10239 numbers, wanted 10240"},
      {[](Tensors& t) { t["weight"] = t["weight"].to(torch::kInt32); }, "weight", "has the type Int, wanted Byte"},
      {[](Tensors& t) { t["weight.absmax"] = torch::ones({320}); }, "weight.absmax", "has the type Float, wanted Byte"},
      {[](Tensors& t) { t["weight.absmax"] = t["weight.absmax"].narrow(0, 0, 319); }, "weight.absmax", "wanted 320"},
      {[](Tensors& t) { t["weight.nested_absmax"] = torch::full({2}, INFINITY); }, "weight.nested_absmax",
       "not finite"},
      {[](Tensors& t) { t["weight.quant_map"] = t["weight.quant_map"] * 0.5; }, "weight.quant_map", "not a table"},
      {[](Tensors& t) { t["weight.nested_quant_map"] = torch::zeros({256}); }, "weight.nested_quant_map",
       "not a table"},
      {[](Tensors& t) { t["weight.quant_state.bitsandbytes__fp4"] = t[kState]; }, kState.c_str(), "is a second state"},
      {[](Tensors& t) { t["weight.quant_state.bitsandbytes__nf5"] = t[kState]; },
       "weight.quant_state.bitsandbytes__nf5", "is"},
      {[](Tensors& t) { t[kState] = bytes_of("[1"); }, kState.c_str(), "not a line of JSON"},
      {[](Tensors& t) { t[kState] = bytes_of("{}"); }, kState.c_str(), "lacks the field `quant_type`"},
      {state_with("\"nf4\"", "\"nf5\""), kState.c_str(), "`quant_type` is \"nf5\", wanted"},
      {state_with("\"nf4\"", "\"fp4\""), kState.c_str(), "names another type inside: fp4"},
      {state_with("\"blocksize\": 64", "\"blocksize\": 48"), kState.c_str(), "`blocksize` is 48, wanted"},
      {state_with("\"blocksize\": 64", "\"blocksize\": -64"), kState.c_str(), "`blocksize` is -64, wanted"},
      {state_with("[160, 128]", "[128, 160]"), kState.c_str(), "is of a weight [128, 160], wanted [160, 128]"},
      {state_with("[160, 128]", "[160, -128]"), kState.c_str(), "`shape` is [160,-128], wanted two sizes"},
      {state_with("[160, 128]", "[20480]"), kState.c_str(), "wanted two sizes"},
      {state_with("\"dtype\": \"float32\"", "\"dtype\": \"int8\""), kState.c_str(), "`dtype` is \"int8\", wanted"},
      {state_with("\"nested_blocksize\": 256", "\"nested_blocksize\": 128"), kState.c_str(), "wanted 256"},
      {state_with("\"nested_offset\": ", "\"nested_offset\": 1e99, \"x\": "), kState.c_str(), "unknown field `x`"},
      {state_with("\"nested_offset\": 0.", "\"nested_offset\": 9999999999999999999999999999999999999999."),
       kState.c_str(), "wanted a number of float32"},
  };
  for (const auto& [make, name, what] : wrongs) {
    auto tensors = saved_layer();
    make(tensors);
    EXPECT_THAT([&] { read_quantized(tensors, "a.layer", 128, 160); },
                ThrowsMessage<FormatError>(AllOf(HasSubstr(std::string("a.layer.") + name + ": "), HasSubstr(what))));
  }
}

TEST(Storage, WrongTensorsOfOtherFormatsAreRefused) {
  const auto read = [](Tensors tensors) { return [=] { read_quantized(tensors, "m", 3, 2); }; };
  const auto codes = torch::ones({2, 3}, torch::kInt8), scales = torch::ones({2});
  EXPECT_NO_THROW(read({{"weight", codes}, {"SCB", scales}})());
  EXPECT_THAT(read({}), ThrowsMessage<FormatError>(HasSubstr("m.weight: is missing")));
  EXPECT_THAT(read({{"weight", codes}}), ThrowsMessage<FormatError>(HasSubstr("m.SCB: is missing")));
  EXPECT_THAT(read({{"SCB", scales}}), ThrowsMessage<FormatError>(HasSubstr("m.weight: is missing")));
  EXPECT_THAT(read({{"weight", codes.t()}, {"SCB", scales}}), ThrowsMessage<FormatError>(HasSubstr("wanted [2, 3]")));
  EXPECT_THAT(read({{"weight", codes}, {"SCB", scales}, {"weight_format", torch::ones({}, torch::kUInt8)}}),
              ThrowsMessage<FormatError>(HasSubstr("m.weight_format: is not 0")));
  EXPECT_THAT(read({{"weight", codes}, {"SCB", scales}, {"x", scales}}),
              ThrowsMessage<FormatError>(HasSubstr("m.x: does not belong")));
  EXPECT_THAT(read({{"weight", torch::ones({2, 3})}}),
              ThrowsMessage<FormatError>(HasSubstr("has the type Float, wanted BFloat16")));
}

TEST(Kernels, AreNamed) {
  EXPECT_STREQ(kernels_named("plain")->name, "plain");
  EXPECT_EQ(kernels_named("sse9"), nullptr);
  for (const char* name : {"plain", "avx2", "avx512", "bf16"}) {
    if (const auto* path = kernels_named(name)) EXPECT_STREQ(path->name, name);
  }
}

}  // namespace
}  // namespace peftlab
