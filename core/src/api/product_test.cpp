#include <peftlab/nn/product.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

constexpr int kTimes = 8;  // a weight is met again by then

torch::Tensor exact(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  return torch::linear(x.to(torch::kFloat64), weight.to(torch::kFloat64),
                       bias.defined() ? bias.to(torch::kFloat64) : bias);
}

/// The worst of several products of `rows` rows, in units of what float32 rounds.
double worst(const torch::Tensor& weight, const torch::Tensor& bias, int64_t rows) {
  double found = 0.0;
  for (int i = 0; i < kTimes; ++i) {
    const auto x = torch::randn({rows, weight.size(1)});
    const auto wanted = exact(x, weight, bias);
    found = std::max(found, ((product(x, weight, bias) - wanted).abs().max() / wanted.abs().max()).item<double>());
  }
  return found;
}

TEST(Product, IsTheLinearMapHoweverOftenAndOfHoweverManyRows) {
  torch::manual_seed(0);
  const torch::NoGradGuard no_grad;
  for (const bool transposed : {false, true}) {
    const auto weight = transposed ? torch::randn({512, 768}).t() : torch::randn({768, 512});
    for (const auto& bias : {torch::Tensor(), torch::randn({768})}) {
      for (const int64_t rows : {1, 2, 16, 64, 65}) EXPECT_LT(worst(weight, bias, rows), 1e-5) << rows;
    }
  }
}

TEST(Product, SeesAWeightThatChanges) {
  torch::manual_seed(0);
  const torch::NoGradGuard no_grad;
  auto weight = torch::randn({512, 1024});
  EXPECT_LT(worst(weight, {}, 4), 1e-5);
  weight.mul_(2);
  EXPECT_LT(worst(weight, {}, 4), 1e-5);
  weight = torch::randn({512, 1024});  // perhaps where the old one lay
  EXPECT_LT(worst(weight, {}, 4), 1e-5);
}

TEST(Product, LeavesAutogradAlone) {
  auto weight = torch::randn({512, 1024}).set_requires_grad(true);
  for (int i = 0; i < kTimes; ++i) {
    weight.mutable_grad().reset();
    const auto x = torch::randn({4, 1024});
    product(x, weight).sum().backward();
    EXPECT_TRUE(torch::allclose(weight.grad(), x.sum(0).expand({512, -1}), 1e-4, 1e-4));
  }
}

}  // namespace
}  // namespace peftlab
