#include "api/matrix_product.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

/// A map with an operand and a gradient to go back with, in which nothing is contiguous.
struct Case {
  torch::Tensor x, weight, bias, dy;
};

Case strided(torch::ScalarType type) {
  torch::manual_seed(2);
  const auto x = torch::randn({2, 130, 70}).to(type).transpose(1, 2), dy = torch::randn({1, 1, 96}).to(type);
  return {x, torch::randn({130, 96}).to(type).t(), torch::randn({96}).to(type), dy.expand({2, 70, 96})};
}

/// y, dx, dW, db.
std::vector<torch::Tensor> through(const Case& c, torch::Tensor (*map)(const torch::Tensor&, const torch::Tensor&,
                                                                       const torch::Tensor&)) {
  const auto leaf = [](const torch::Tensor& t) { return t.detach().requires_grad_(); };
  const torch::Tensor x = leaf(c.x), weight = leaf(c.weight), bias = leaf(c.bias), y = map(x, weight, bias);
  auto found = torch::autograd::grad({y}, {x, weight, bias}, {c.dy});
  found.insert(found.begin(), y);
  return found;
}

torch::Tensor by_libtorch(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  return torch::linear(x, weight, bias);
}
torch::Tensor by_onednn(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  return linear_by_onednn(x, weight, bias);
}

TEST(MatrixProduct, TheMapAndItsGradientsAreLibTorchs) {
  const auto found = through(strided(torch::kFloat32), by_onednn);
  const auto wanted = through(strided(torch::kFloat64), by_libtorch);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(found[i].sizes(), wanted[i].sizes()) << i;
    EXPECT_TRUE(torch::allclose(found[i].to(torch::kFloat64), wanted[i], 1e-4, 1e-4)) << i;
  }
}

TEST(MatrixProduct, AFrozenWeightHasNoGradient) {
  const Case c = strided(torch::kFloat32);
  const auto x = c.x.detach().requires_grad_();
  const auto y = linear_by_onednn(x, c.weight, {});
  y.backward(c.dy);
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(c.weight.grad().defined());
  EXPECT_FALSE(linear_by_onednn(c.x, c.weight, {}).requires_grad());
}

TEST(MatrixProduct, TakesViewsAsTheyAre) {
  torch::manual_seed(3);
  const auto a = torch::randn({120, 300}), b = torch::randn({90, 300});
  const auto exact = torch::mm(a.to(torch::kFloat64), b.t().to(torch::kFloat64));
  const auto check = [&](const torch::Tensor& left, const torch::Tensor& right) {
    EXPECT_TRUE(torch::allclose(matrix_product(left, right).to(torch::kFloat64), exact, 1e-4, 1e-4));
  };
  check(a, b.t());
  check(a.t().contiguous().t(), b.t());
  check(a, b.t().contiguous());
  check(a, torch::randn({90, 301}).narrow(1, 1, 300).copy_(b).t());  // rows with a gap between them
}

TEST(MatrixProduct, SumsOverRowsOfAnyWidth) {
  torch::manual_seed(5);
  for (const int64_t width : {8, 90, 2000}) {
    for (const int64_t rows : {64, 70}) {
      const auto a = torch::randn({rows, 2000}), b = torch::randn({rows, width + 1}).narrow(1, 0, width);
      const auto exact = torch::mm(a.t().to(torch::kFloat64), b.to(torch::kFloat64));
      for (const auto& right : {b, b.contiguous(), b.t().contiguous().t()}) {
        const auto found = matrix_product(a.t(), right);
        EXPECT_TRUE(found.is_contiguous());
        EXPECT_TRUE(torch::allclose(found.to(torch::kFloat64), exact, 1e-4, 1e-4)) << rows << " rows, " << width;
      }
    }
  }
}

TEST(MatrixProduct, WhatAutogradFollowsHasAGradient) {
  torch::manual_seed(4);
  const auto a = torch::randn({120, 300}).requires_grad_(), b = torch::randn({300, 90});
  matrix_product(a, b).sum().backward();
  EXPECT_TRUE(torch::allclose(a.grad(), b.sum(1).expand({120, 300}), 1e-4, 1e-4));
}

TEST(MatrixProduct, OnlyLargeOnesOfFloat32GoToOneDnn) {
  const auto large = torch::ones({256, 256}), small = torch::ones({8, 8});
  EXPECT_EQ(goes_to_onednn(large, large), onednn_is_quicker());
  EXPECT_FALSE(goes_to_onednn(small, small));
  EXPECT_FALSE(goes_to_onednn(large.to(torch::kFloat64), large.to(torch::kFloat64)));
  EXPECT_FALSE(goes_to_onednn(large.to(torch::kBFloat16), large.to(torch::kBFloat16)));
}

}  // namespace
}  // namespace peftlab
