/// 4-bit and int8 codes, beside bitsandbytes and by hand.

#include <peftlab/error.h>
#include <peftlab/nn/weight_storage.h>
#include <quantize/four_bit.h>
#include <quantize/golden.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace peftlab {
namespace {

class FourBit : public EachPath {};
PEFTLAB_EACH_PATH(FourBit);

/// Compares with an array of the golden file, or with the checksum that stands for it.
void expect_golden(const torch::Tensor& found, const std::string& name) {
  if (golden().contains(name)) {
    EXPECT_TRUE(same_bits(found, golden(name))) << name;
  } else {
    EXPECT_EQ(fnv(found), golden(name + ".fnv").item<int64_t>()) << name;
  }
}

/// The code of v in NF4, whose codes ascend.
int64_t four_bit_code(float v) {
  const float* middle = four_bit_table("nf4").search.threshold;
  return std::lower_bound(middle, middle + 15, v) - middle;
}

TEST_P(FourBit, IsThatOfBitsandbytesToTheBit) {
  for (const std::string weight : {"gauss", "special", "ragged"}) {
    for (const std::string type : {"nf4", "fp4"}) {
      const auto name = weight + "." + type;
      const auto plain = quantize(golden(weight + ".weight"), {type, 64, false});
      EXPECT_TRUE(same_bits(plain->tensors().at("weight"), golden(name + ".packed"))) << name;
      EXPECT_TRUE(same_bits(plain->tensors().at("weight.absmax"), golden(name + ".absmax"))) << name;
      EXPECT_TRUE(same_bits(plain->tensors().at("weight.quant_map"), golden("code." + type))) << name;
      expect_golden(plain->dense(torch::kFloat32), name + ".dequant_f32");
      expect_golden(plain->dense(torch::kBFloat16), name + ".dequant_bf16");
      expect_golden(plain->dense(torch::kHalf), name + ".dequant_f16");

      const auto doubled = quantize(golden(weight + ".weight"), {type, 64, true})->tensors();
      EXPECT_TRUE(same_bits(doubled.at("weight"), golden(name + ".packed"))) << name;
      EXPECT_TRUE(same_bits(doubled.at("weight.absmax"), golden(name + ".dq.absmax_u8_exact"))) << name;
      EXPECT_TRUE(same_bits(doubled.at("weight.nested_absmax"), golden(name + ".dq.nested_absmax"))) << name;
      // What bitsandbytes dequantizes has its own codes of scales: those are put in here.
      auto theirs = doubled;
      theirs["weight.absmax"] = golden(name + ".dq.absmax_u8");
      const auto sizes = golden(weight + ".weight").sizes();
      expect_golden(read_quantized(theirs, "m", sizes[1], sizes[0])->dense(torch::kFloat32), name + ".dq.dequant_f32");
    }
  }
}

/// The quotient and the product with the reciprocal of these two lie on either side of the middle of two codes, one bit
/// apart: found by trying.
std::pair<float, float> number_that_tells_division() {
  const auto& search = four_bit_table("nf4").search;
  for (int middle = 0; middle < 15; ++middle) {
    for (float largest = 1.5f; largest < 1.7f; largest += 1e-4f) {
      const float near = search.threshold[middle] * largest;
      for (float x = near - 2e-7f; x < near + 2e-7f; x = std::nextafter(x, 2.0f)) {
        if ((x / largest > search.threshold[middle]) != (x * (1.0f / largest) > search.threshold[middle])) {
          return {x, largest};
        }
      }
    }
  }
  return {0, 0};
}

TEST_P(FourBit, AShortBlockIsDividedAndAWholeOneMultiplied) {
  const auto [x, largest] = number_that_tells_division();
  ASSERT_NE(x, 0);
  auto weight = torch::full({1, 48}, x);
  weight[0][0] = weight[0][32] = largest;
  const auto packed = quantize(weight, {"nf4", 32, false})->tensors().at("weight").view({-1}).to(torch::kInt64);
  EXPECT_NE(packed[1].item<int64_t>(), packed[17].item<int64_t>());
  // In both halves of a byte.
  EXPECT_EQ(packed[17].item<int64_t>() % 16, four_bit_code(x / largest)) << x << " " << largest;
  EXPECT_EQ(packed[17].item<int64_t>() / 16, four_bit_code(x / largest)) << x << " " << largest;
  EXPECT_EQ(packed[1].item<int64_t>() % 16, four_bit_code(x * (1.0f / largest))) << x << " " << largest;
}

TEST_P(FourBit, BlocksCrossRows) {
  const auto weight = quantize(golden("misaligned96.weight"), {"nf4", 64, false});
  EXPECT_TRUE(same_bits(weight->tensors().at("weight"), golden("misaligned96.nf4.packed")));
  EXPECT_TRUE(same_bits(weight->tensors().at("weight.absmax"), golden("misaligned96.nf4.absmax")));
  EXPECT_TRUE(same_bits(weight->dense(torch::kFloat32), golden("misaligned96.nf4.dequant_f32")));
}

TEST_P(FourBit, Int8IsThatOfBitsandbytes) {
  const auto tensors = quantize(golden("misaligned96.weight"), {"int8"})->tensors();
  EXPECT_TRUE(same_bits(tensors.at("weight"), golden("int8.gauss.CB")));
  EXPECT_TRUE(same_bits(tensors.at("SCB"), golden("int8.gauss.SCB")));
}

TEST_P(FourBit, Int8ByHand) {
  // The largest of the first row is 2: steps of 2 / 127. A row of zeros stays one.
  const auto weight = quantize(torch::tensor({{2.0f, -1.0f, 0.0f}, {0.0f, 0.0f, 0.0f}}), {"int8"});
  EXPECT_TRUE(torch::equal(weight->tensors().at("weight").to(torch::kInt64),
                           torch::tensor({{127, -64, 0}, {0, 0, 0}})));  // -63.5 to the even -64
  EXPECT_TRUE(torch::allclose(weight->dense(torch::kFloat32),
                              torch::tensor({{2.0f, -128.0f / 127.0f, 0.0f}, {0.0f, 0.0f, 0.0f}})));
}

TEST_P(FourBit, ByHand) {
  // Two blocks of 32: the largest is -2 in one, and the other is short and has three numbers. 0.5 / 2 is nearest to the
  // code 10, 0.246; the odd count is filled up with the code 7, zero.
  auto x = torch::zeros({1, 35});
  x[0][0] = -2.0f;
  x[0][1] = 0.5f;
  x[0][34] = 4.0f;
  const auto tensors = quantize(x, {"nf4", 32, false})->tensors();
  const auto packed = tensors.at("weight");
  EXPECT_EQ(packed.sizes(), (std::vector<int64_t>{18, 1}));
  EXPECT_EQ(packed[0].item<uint8_t>(), 0x0A);
  EXPECT_EQ(packed[1].item<uint8_t>(), 0x77);
  EXPECT_EQ(packed[17].item<uint8_t>(), 0xF7);
  EXPECT_TRUE(torch::equal(tensors.at("weight.absmax"), torch::tensor({2.0f, 4.0f})));
}

TEST_P(FourBit, AShortLastBlockIsDivided) {
  // With the scale 3 the number t * 3, t a threshold of NF4, is a tie when divided and may be none when multiplied by
  // 1 / 3, which is rounded. In a whole block the product decides, in a short one the quotient.
  const auto& table = four_bit_table("nf4");
  int told_apart = 0;
  for (const float scale : {3.0f, 7.0f, 11.0f}) {
    for (int i = 0; i < 15; ++i) {
      const float x = table.search.threshold[i] * scale;
      const auto code = [&](float v) {
        int below = 0;
        while (v > table.search.threshold[below]) ++below;
        return below;
      };
      const float product = x * (1.0f / scale), quotient = x / scale;
      told_apart += code(product) != code(quotient);
      auto whole = torch::zeros({1, 32}), part = torch::zeros({1, 2});
      for (auto* tensor : {&whole, &part}) {
        (*tensor)[0][0] = scale;
        (*tensor)[0][1] = x;
      }
      EXPECT_EQ(quantize(whole, {"nf4", 32, false})->tensors().at("weight")[0].item<uint8_t>() & 15, code(product));
      EXPECT_EQ(quantize(part, {"nf4", 32, false})->tensors().at("weight")[0].item<uint8_t>() & 15, code(quotient));
    }
  }
  EXPECT_GT(told_apart, 0);
}

TEST_P(FourBit, QuantizingAgainGivesTheSameCodes) {
  torch::manual_seed(2);
  for (const std::string type : {"nf4", "fp4"}) {
    const auto first = quantize(torch::randn({33, 40}), {type, 32, false});
    const auto again = quantize(first->dense(torch::kFloat32), {type, 32, false});
    EXPECT_TRUE(same_bits(again->tensors().at("weight.absmax"), first->tensors().at("weight.absmax")));
    EXPECT_TRUE(same_bits(again->dense(torch::kFloat32), first->dense(torch::kFloat32)));
  }
}

TEST_P(FourBit, IsTheSameOnEveryPath) {
  torch::manual_seed(3);
  const auto& path = kernels();
  for (const auto& [rows, columns] : std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {5, 77}, {130, 96}, {64, 512}}) {
    for (const std::string type : {"nf4", "fp4", "int8", "bfloat16"}) {
      for (const int64_t block : {32, 64, 256, 4096}) {
        for (const auto dtype : {torch::kFloat32, torch::kBFloat16, torch::kHalf}) {
          const auto weight = (torch::randn({rows, columns}) * torch::exp(2 * torch::randn({rows, columns}))).to(dtype);
          const auto run = [&](const Kernels& with) {
            use_kernels(with);
            std::vector<torch::Tensor> all;
            for (const bool doubled : {false, true}) {
              const auto storage = quantize(weight, {type, block, doubled});
              for (const auto& [name, tensor] : storage->tensors()) all.push_back(tensor);
              for (const auto to : {torch::kFloat32, torch::kBFloat16, torch::kHalf}) all.push_back(storage->dense(to));
            }
            return all;
          };
          const auto expected = run(*kernels_named("plain")), found = run(path);
          ASSERT_EQ(found.size(), expected.size());
          for (size_t i = 0; i < found.size(); ++i) {
            EXPECT_TRUE(same_bits(found[i], expected[i])) << type << " " << block << " " << i;
          }
        }
      }
    }
  }
}

TEST_P(FourBit, RoundsLikeLibTorch) {
  // Scales from the smallest float32 to beyond the largest float16: normal numbers, subnormal ones, ties, infinities.
  std::vector<float> numbers(16);
  for (int i = 0; i < 16; ++i) numbers[i] = static_cast<float>(i - 7) / 4.0f;
  std::vector<uint8_t> packed(64);
  for (int i = 0; i < 64; ++i) packed[i] = static_cast<uint8_t>(37 * i + 11);
  for (int exponent = -149; exponent < 24; ++exponent) {
    for (const float mantissa : {1.0f, 1.0009765625f, 1.00146484375f, 1.3f, 1.9990235f, 1.99999988f}) {
      const float scale = std::ldexp(mantissa, exponent);
      auto exact = torch::empty({128}), half = torch::empty({128}, torch::kHalf);
      auto bfloat16 = torch::empty({128}, torch::kBFloat16);
      kernels().decode4_float32(packed.data(), &scale, 0, 128, 7, numbers.data(), exact.mutable_data_ptr<float>());
      kernels().decode4_float16(packed.data(), &scale, 0, 128, 7, numbers.data(),
                                static_cast<uint16_t*>(half.mutable_data_ptr()));
      kernels().decode4_bfloat16(packed.data(), &scale, 0, 128, 7, numbers.data(),
                                 static_cast<uint16_t*>(bfloat16.mutable_data_ptr()));
      for (int i = 0; i < 128; ++i) {
        const int code = i % 2 == 0 ? packed[i / 2] >> 4 : packed[i / 2] & 15;
        ASSERT_EQ(exact[i].item<float>(), numbers[code] * scale);
      }
      ASSERT_TRUE(same_bits(half, exact.to(torch::kHalf))) << scale;
      ASSERT_TRUE(same_bits(bfloat16, exact.to(torch::kBFloat16))) << scale;
    }
  }
}

TEST_P(FourBit, AnyPieceIsThatOfTheWhole) {
  torch::manual_seed(4);
  const auto weight = quantize(torch::randn({1, 400}), {"nf4", 64, false});
  const auto whole = weight->dense(torch::kFloat32).view({-1});
  const auto tensors = weight->tensors();
  const auto packed = tensors.at("weight"), absmax = tensors.at("weight.absmax");
  for (const int64_t first : {0, 1, 31, 63, 64, 65, 128, 255}) {
    for (const int64_t n : {1, 2, 31, 64, 65, 140}) {
      auto piece = torch::empty({n});
      kernels().decode4_float32(packed.const_data_ptr<uint8_t>(), absmax.const_data_ptr<float>() + first / 64, first, n,
                                6, four_bit_table("nf4").code.data(), piece.mutable_data_ptr<float>());
      EXPECT_TRUE(same_bits(piece, whole.narrow(0, first, n))) << first << " " << n;
    }
  }
}

TEST_P(FourBit, WhatIsNotFiniteIsRefused) {
  for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    for (const int64_t at : {3, 65}) {  // in a whole block and in a short one
      auto weight = torch::ones({1, 67});
      weight[0][at] = bad;
      EXPECT_THROW(quantize(weight, {"nf4"}), UnsupportedError);
      EXPECT_THROW(quantize(weight, {"int8"}), UnsupportedError);
    }
  }
}

}  // namespace
}  // namespace peftlab
