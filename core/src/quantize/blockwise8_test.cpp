/// Dynamic 8-bit codes, by hand and beside bitsandbytes.

#include <quantize/blockwise8.h>
#include <quantize/blockwise8_tensors.h>
#include <quantize/golden.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace peftlab {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

TEST(DynamicCode, IsThatOfBitsandbytes) {
  for (const bool is_signed : {true, false}) {
    const auto expected = golden(is_signed ? "code.dynamic8_signed" : "code.dynamic8_unsigned");
    const auto& code = dynamic_code(is_signed);
    for (int i = 0; i < 256; ++i) EXPECT_EQ(code[i], expected[i].item<float>()) << i;
  }
  EXPECT_EQ(dynamic_code(true)[127], 0.0f);
  EXPECT_EQ(dynamic_code(true)[255], 1.0f);
  EXPECT_EQ(dynamic_code(false)[0], 0.0f);
}

class Blockwise8 : public EachPath {
 protected:
  static std::vector<uint8_t> codes(const std::vector<float>& x, bool is_signed = true,
                                    Nearest nearest = Nearest::kExact) {
    std::vector<uint8_t> q(x.size());
    std::vector<float> absmax((x.size() + 255) / 256);
    encode8(x.data(), static_cast<int64_t>(x.size()), 256, is_signed, q.data(), absmax.data(), nearest);
    return q;
  }
};
PEFTLAB_EACH_PATH(Blockwise8);

TEST_P(Blockwise8, GivesEachCodeBack) {
  for (const bool is_signed : {true, false}) {
    const auto& code = dynamic_code(is_signed);
    const auto q = codes({code.begin(), code.end()}, is_signed);
    for (int i = 0; i < 256; ++i) EXPECT_EQ(q[i], i);
  }
}

TEST_P(Blockwise8, TiesGoToTheEvenCode) {
  // 1 first, so that the scale is 1; then what is half way between two codes, and the numbers beside that.
  const auto& code = dynamic_code(true);
  std::vector<float> x = {1.0f}, below = {1.0f}, above = {1.0f};
  for (int i = 0; i < 255; ++i) {
    x.push_back(0.5f * (code[i] + code[i + 1]));
    below.push_back(std::nextafter(x.back(), -2.0f));
    above.push_back(std::nextafter(x.back(), 2.0f));
  }
  const auto at = codes(x), under = codes(below), over = codes(above);
  for (int i = 0; i < 255; ++i) {
    EXPECT_EQ(at[i + 1], i % 2 == 0 ? i : i + 1) << i;
    EXPECT_EQ(under[i + 1], i) << i;
    EXPECT_EQ(over[i + 1], i + 1) << i;
  }
}

TEST_P(Blockwise8, BlocksHaveTheirOwnScale) {
  // Blocks of 4: one of zeros, one whose largest is -8, one short.
  const std::vector<float> x = {0, 0, 0, 0, -8, 0, 8, 4, 1e-30f};
  std::vector<uint8_t> q(x.size());
  std::vector<float> absmax(3), back(x.size());
  const float* code = dynamic_code(true).data();
  encode8(x.data(), 9, 4, true, q.data(), absmax.data());
  EXPECT_THAT(absmax, ElementsAre(0.0f, 8.0f, 1e-30f));
  EXPECT_THAT(q, ElementsAre(0, 0, 0, 0, 0, 127, 255, 219, 255));
  decode8(q.data(), absmax.data(), 9, 4, code, back.data());
  EXPECT_THAT(back, ElementsAre(0.0f, 0.0f, 0.0f, 0.0f, 8 * code[0], 0.0f, 8.0f, 8 * code[219], 1e-30f));
  EXPECT_NEAR(back[7], 4.0f, 0.06f);
}

TEST_P(Blockwise8, AScaleWithoutReciprocalIsDivided) {
  // 1 / 1e-39 is infinite in float32, and infinity times zero is no number.
  const std::vector<float> x = {1e-39f, 0.0f, -1e-39f};
  EXPECT_THAT(codes(x), ElementsAre(255, 127, 0));
}

TEST_P(Blockwise8, ScalesOfWeightsAreThoseOfBitsandbytes) {
  int64_t by_table_is_other = 0;
  for (const std::string name : {"gauss.nf4", "gauss.fp4", "special.nf4", "special.fp4", "ragged.nf4", "ragged.fp4"}) {
    const auto offset = golden(name + ".dq.nested_offset");
    const auto centred = golden(name + ".absmax") - offset;
    const int64_t n = centred.numel();
    auto q = torch::empty({n}, torch::kUInt8), absmax = torch::empty_like(golden(name + ".dq.nested_absmax"));
    const auto encode = [&](Nearest nearest) {
      encode8(centred.const_data_ptr<float>(), n, 256, true, q.mutable_data_ptr<uint8_t>(),
              absmax.mutable_data_ptr<float>(), nearest);
      EXPECT_TRUE(same_bits(absmax, golden(name + ".dq.nested_absmax"))) << name;
    };
    encode(Nearest::kExact);
    EXPECT_TRUE(same_bits(q, golden(name + ".dq.absmax_u8_exact"))) << name;
    const auto exact = q.clone();
    encode(Nearest::kBitsandbytesCpu);
    EXPECT_TRUE(same_bits(q, golden(name + ".dq.absmax_u8"))) << name;
    by_table_is_other += (exact != q).sum().item<int64_t>();
  }
  EXPECT_EQ(by_table_is_other, 2);  // one scale of gauss, in both types: the two rules are told apart
}

TEST_P(Blockwise8, TheTableOfBitsandbytesNeverReachesZero) {
  EXPECT_THAT(codes({1.0f, 0.0f}, true, Nearest::kBitsandbytesCpu), ElementsAre(255, 131));
  EXPECT_THAT(codes({0.0f, 0.0f}, true, Nearest::kBitsandbytesCpu), Each(0));
}

TEST(Blockwise8Tensors, AreTheLoopsToTheBit) {
  torch::manual_seed(2);
  for (const bool is_signed : {true, false}) {
    for (const int64_t n : {1, 256, 300, 5000}) {
      auto x = torch::randn({n}) * torch::exp(3 * torch::randn({n}));
      if (!is_signed) x = x.abs();
      if (n == 5000) x.narrow(0, 256, 256).zero_();
      auto q = torch::empty({n}, torch::kUInt8), absmax = torch::empty({(n + 255) / 256}), back = torch::empty({n});
      encode8(x.const_data_ptr<float>(), n, 256, is_signed, q.mutable_data_ptr<uint8_t>(),
              absmax.mutable_data_ptr<float>(), Nearest::kBitsandbytesCpu);
      decode8(q.const_data_ptr<uint8_t>(), absmax.const_data_ptr<float>(), n, 256, dynamic_code(is_signed).data(),
              back.mutable_data_ptr<float>());
      const auto q_of_tensors = torch::empty_like(q), absmax_of_tensors = torch::empty_like(absmax);
      encode8_tensor(x, 256, is_signed, q_of_tensors, absmax_of_tensors);
      EXPECT_TRUE(same_bits(q_of_tensors, q)) << n;
      EXPECT_TRUE(same_bits(absmax_of_tensors, absmax)) << n;
      EXPECT_TRUE(same_bits(decode8_tensor(q, absmax, 256, is_signed), back)) << n;
    }
  }
}

TEST_P(Blockwise8, IsTheSameOnEveryPath) {
  torch::manual_seed(1);
  for (const int64_t n : {1, 15, 16, 17, 255, 256, 257, 70000}) {
    const auto x = torch::randn({n}) * torch::exp(3 * torch::randn({n}));
    const auto run = [&](const Kernels& path) {
      const auto& before = kernels();
      use_kernels(path);
      auto q = torch::empty({n}, torch::kUInt8), absmax = torch::empty({(n + 255) / 256}), back = torch::empty({n});
      const float* code = dynamic_code(true).data();
      encode8(x.const_data_ptr<float>(), n, 256, true, q.mutable_data_ptr<uint8_t>(), absmax.mutable_data_ptr<float>());
      decode8(q.const_data_ptr<uint8_t>(), absmax.const_data_ptr<float>(), n, 256, code,
              back.mutable_data_ptr<float>());
      use_kernels(before);
      return std::vector{q, absmax, back};
    };
    const auto expected = run(*kernels_named("plain")), found = run(kernels());
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(found[i], expected[i])) << n;
    // No number is off by more than half the widest step, 0.9 / 64.
    const auto scale = expected[1].repeat_interleave(256).narrow(0, 0, n);
    EXPECT_LT(((expected[2] - x).abs() / scale).max().item<float>(), 0.0141f);
  }
}

}  // namespace
}  // namespace peftlab
