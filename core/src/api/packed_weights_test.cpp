#include "api/packed_weights.h"

#include "kernels/path.h"

#include <peftlab/nn/product.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

constexpr int64_t kOut = 300, kIn = 260;

class PackedWeightsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (best_path() < Path::bf16 || !at::hasMKLDNN()) GTEST_SKIP() << "this processor has no AVX512-BF16";
    torch::manual_seed(0);
  }
};

torch::Tensor bfloat16(torch::IntArrayRef sizes) { return torch::randn(sizes).to(torch::kBFloat16); }

/// Within what rounding the result to bfloat16 moves it.
void expect_the_map(const torch::Tensor& found, const torch::Tensor& x, const torch::Tensor& weight,
                    const torch::Tensor& bias = {}) {
  const auto exact = torch::linear(x.to(torch::kFloat64), weight.to(torch::kFloat64),
                                   bias.defined() ? bias.to(torch::kFloat64) : bias);
  ASSERT_EQ(found.sizes(), exact.sizes());
  EXPECT_EQ(found.scalar_type(), torch::kBFloat16);
  EXPECT_LT(((found.to(torch::kFloat64) - exact).abs().max() / exact.abs().max()).item<double>(), 1.0 / 256);
}

TEST_F(PackedWeightsTest, GiveTheLinearMapWithAnyRowsInEitherOrder) {
  PackedWeights packed;
  for (const bool transposed : {false, true}) {
    const auto weight = transposed ? bfloat16({kIn, kOut}).t() : bfloat16({kOut, kIn});
    for (const int64_t rows : {1, 2, 7, 16, 33, 64}) {
      for (const auto& bias : {torch::Tensor(), bfloat16({kOut})}) {
        SCOPED_TRACE(::testing::Message() << rows << " rows, transposed: " << transposed);
        const auto x = bfloat16({rows, kIn});
        ASSERT_TRUE(PackedWeights::are_for(x, weight));
        expect_the_map(packed.product(x, weight, bias), x, weight, bias);
      }
    }
  }
  EXPECT_EQ(packed.size(), 2) << "one for each weight, whatever the rows";
}

TEST_F(PackedWeightsTest, AreMadeByProductWhileOneLives) {
  const auto weight = bfloat16({kOut, kIn}), x = bfloat16({3, kIn, 2}).transpose(1, 2);
  EXPECT_EQ(PackedWeights::current(), nullptr);
  {
    PackedWeights packed;
    expect_the_map(product(x, weight), x, weight);
    EXPECT_EQ(packed.size(), 1);
    {
      PackedWeights inner;
      product(x, bfloat16({kOut, kIn}));
      EXPECT_EQ(inner.size(), 0);
    }
    EXPECT_EQ(packed.size(), 2);
    EXPECT_EQ(PackedWeights::current(), &packed);
  }
  EXPECT_EQ(PackedWeights::current(), nullptr);
}

TEST_F(PackedWeightsTest, ArePackedAgainAfterAChange) {
  PackedWeights packed;
  const auto weight = bfloat16({kOut, kIn}), x = bfloat16({2, kIn});
  expect_the_map(product(x, weight), x, weight);
  weight.mul_(-3);
  expect_the_map(product(x, weight), x, weight);
  weight.narrow(0, 7, 1).zero_();
  expect_the_map(product(x, weight), x, weight);
  torch::Tensor(weight).set_data(bfloat16({kOut, kIn}));
  expect_the_map(product(x, weight), x, weight);
}

TEST_F(PackedWeightsTest, OfOneMemoryAreToldApart) {
  PackedWeights packed;
  const auto whole = bfloat16({2 * kOut, kIn}), x = bfloat16({2, kIn});
  for (const auto& part : {whole.narrow(0, 0, kOut), whole.narrow(0, kOut, kOut), whole, whole.narrow(0, 1, kOut)}) {
    expect_the_map(product(x, part), x, part);
  }
  const auto square = bfloat16({kIn, kIn});
  expect_the_map(product(x, square), x, square);
  expect_the_map(product(x, square.t()), x, square.t());
  const auto gaps = bfloat16({kOut, 2 * kIn}).narrow(1, 3, kIn);  // between its rows
  expect_the_map(product(x, gaps), x, gaps);
  // Memory that a weight has left is not met again.
  for (int i = 0; i < 20; ++i) {
    const auto brief = bfloat16({kOut, kIn});
    expect_the_map(product(x, brief), x, brief);
  }
}

TEST_F(PackedWeightsTest, AreForFewRowsOfFrozenWeightsAlone) {
  const auto are_for = PackedWeights::are_for;
  const auto x = bfloat16({2, kIn}), weight = bfloat16({kOut, kIn});
  ASSERT_TRUE(are_for(x, weight));
  EXPECT_FALSE(are_for(bfloat16({65, kIn}), weight));
  EXPECT_FALSE(are_for(bfloat16({0, kIn}), weight));
  EXPECT_FALSE(are_for(x.to(torch::kFloat32), weight));
  EXPECT_FALSE(are_for(x, weight.to(torch::kFloat32)));
  EXPECT_FALSE(are_for(bfloat16({2, 8}), bfloat16({8, 8})));
  EXPECT_FALSE(are_for(x, weight.clone().requires_grad_()));
  const auto tracked = x.clone().requires_grad_();
  EXPECT_FALSE(are_for(tracked, weight));
  const torch::NoGradGuard no_grad;
  EXPECT_TRUE(are_for(tracked, weight));
  use_path(Path::avx512);
  EXPECT_FALSE(are_for(x, weight));
  use_path(Path::bf16);
}

}  // namespace
}  // namespace peftlab
