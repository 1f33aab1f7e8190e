/// The update as one function, beside the operations it stands for.

#include "low_rank/update.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab::low_rank {
namespace {

torch::Tensor by_operations(const torch::Tensor& x, const torch::Tensor& a, const torch::Tensor& b, double s) {
  return torch::linear(torch::linear(x.to(a.scalar_type()), a) * s, b);
}

struct Case {
  torch::Tensor x, a, b;
};

Case draw(torch::ScalarType type, torch::ScalarType wide) {
  torch::manual_seed(5);
  return {torch::randn({3, 7, 48}).to(type).requires_grad_(true), torch::randn({4, 48}, wide).requires_grad_(true),
          torch::randn({40, 4}, wide).requires_grad_(true)};
}

TEST(LowRankUpdate, HasTheValuesAndGradientsOfItsOperationsToTheBit) {
  for (const auto type : {torch::kFloat32, torch::kBFloat16, torch::kHalf}) {
    const Case one = draw(type, torch::kFloat32), other = draw(type, torch::kFloat32);
    const auto y = update_of(one.x, one.a, one.b, 0.5), wanted = by_operations(other.x, other.a, other.b, 0.5);
    EXPECT_TRUE(torch::equal(y, wanted));
    const auto dy = torch::randn_like(y);
    y.backward(dy);
    wanted.backward(dy);
    EXPECT_TRUE(torch::equal(one.x.grad(), other.x.grad()));
    EXPECT_TRUE(torch::equal(one.a.grad(), other.a.grad()));
    EXPECT_TRUE(torch::equal(one.b.grad(), other.b.grad()));
  }
}

TEST(LowRankUpdate, GivesNoGradientThatIsNotAskedFor) {
  Case one = draw(torch::kFloat32, torch::kFloat32);
  one.x = one.x.detach();
  update_of(one.x, one.a, one.b.detach(), 1.0).sum().backward();
  EXPECT_TRUE(one.a.grad().defined());
  EXPECT_FALSE(one.x.grad().defined());
  EXPECT_FALSE(update_of(one.x, one.a.detach(), one.b.detach(), 1.0).requires_grad());
}

TEST(LowRankUpdate, MayBeDifferentiatedTwice) {
  const auto second = [](const auto& update) {
    const Case one = draw(torch::kDouble, torch::kDouble);
    const auto dx =
        torch::autograd::grad({update(one.x, one.a, one.b, 0.5).pow(2).sum()}, {one.x, one.b}, {}, true, true);
    return torch::autograd::grad({dx[0].pow(2).sum() + dx[1].pow(2).sum()}, {one.x, one.a, one.b});
  };
  const auto found = second(update_of), wanted = second(by_operations);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(torch::allclose(found[i], wanted[i], 1e-10, 1e-10)) << i;
}

}  // namespace
}  // namespace peftlab::low_rank
