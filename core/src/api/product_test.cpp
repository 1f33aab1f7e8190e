#include <peftlab/nn/product.h>

#include "kernels/path.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

torch::Tensor exact(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  return torch::linear(x.to(torch::kFloat64), weight.to(torch::kFloat64),
                       bias.defined() ? bias.to(torch::kFloat64) : bias);
}

/// A weight [out, in] that lies as it is, or as its transpose.
torch::Tensor weight_of(int64_t out, int64_t in, bool transposed) {
  return transposed ? torch::randn({in, out}).t() : torch::randn({out, in});
}

class Product : public ::testing::TestWithParam<int64_t> {
 protected:
  void SetUp() override { torch::manual_seed(0); }
};

TEST_P(Product, IsTheLinearMap) {
  const torch::NoGradGuard no_grad;
  const Path before = best_path();
  for (const Path path : possible_paths()) {
    use_path(path);
    for (const bool transposed : {false, true}) {
      for (const auto& [out, in] : {std::pair<int64_t, int64_t>{768, 512}, {333, 211}, {5, 9000}, {9001, 7}}) {
        for (const auto& bias : {torch::Tensor(), torch::randn({out})}) {
          SCOPED_TRACE(::testing::Message()
                       << name_of(path) << ' ' << out << " x " << in << (transposed ? " transposed" : ""));
          const auto weight = weight_of(out, in, transposed), x = torch::randn({GetParam(), in});
          const auto wanted = exact(x, weight, bias);
          EXPECT_LT(((product(x, weight, bias) - wanted).abs().max() / wanted.abs().max()).item<double>(), 1e-5);
        }
      }
    }
  }
  use_path(before);
}

INSTANTIATE_TEST_SUITE_P(Rows, Product, ::testing::Values(1, 2, 3, 4, 7, 16, 32, 33, 65));

TEST_F(Product, HasTheSameBitsWithAnyNumberOfThreads) {
  const torch::NoGradGuard no_grad;
  const int before = at::get_num_threads();
  for (const int64_t rows : {1, 2, 5, 16}) {
    for (const bool transposed : {false, true}) {
      const auto weight = weight_of(1021, 500, transposed), x = torch::randn({rows, 500});
      const auto several = product(x, weight);
      at::set_num_threads(1);
      EXPECT_TRUE(torch::equal(several, product(x, weight))) << rows << transposed;
      at::set_num_threads(before);
    }
  }
}

TEST_F(Product, KeepsTheShapeBeforeTheLastSize) {
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(product(torch::randn({2, 3, 512}), torch::randn({700, 512})).sizes(), (std::vector<int64_t>{2, 3, 700}));
}

TEST_F(Product, LeavesAutogradAlone) {
  auto weight = torch::randn({512, 1024}).set_requires_grad(true);
  const auto x = torch::randn({4, 1024});
  product(x, weight).sum().backward();
  EXPECT_TRUE(torch::allclose(weight.grad(), x.sum(0).expand({512, -1}), 1e-4, 1e-4));
}

}  // namespace
}  // namespace peftlab
