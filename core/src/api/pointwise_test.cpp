#include "api/pointwise.h"

#include "kernels/path.h"

#include <peftlab/error.h>
#include <peftlab/nn/activation.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

using Tensors = std::vector<torch::Tensor>;
using Function = std::function<torch::Tensor(const Tensors&)>;

/// The result and the gradients of all that is given.
Tensors there_and_back(const Function& f, const Tensors& given, torch::ScalarType type, const torch::Tensor& dy) {
  Tensors leaves;
  for (const auto& t : given) leaves.push_back(t.to(type).detach().set_requires_grad(true));
  const auto y = f(leaves);
  auto found = torch::autograd::grad({y}, leaves, {dy.to(y.scalar_type())});
  found.insert(found.begin(), y.detach());
  return found;
}

/// f on float32 and bfloat16, on every path, beside `wanted` in float64.
void expect_near(const Function& f, const Function& wanted, const Tensors& given, double tolerance = 2e-6) {
  const auto dy = torch::randn_like(wanted(given));
  const auto exact = there_and_back(wanted, given, torch::kFloat64, dy);
  const Path before = best_path();
  for (const Path path : possible_paths()) {
    use_path(path);
    SCOPED_TRACE(name_of(path));
    const auto single = there_and_back(f, given, torch::kFloat32, dy),
               half = there_and_back(f, given, torch::kBFloat16, dy);
    for (size_t i = 0; i < exact.size(); ++i) {
      const double largest = exact[i].abs().max().item<double>();
      EXPECT_LT((single[i].to(torch::kFloat64) - exact[i]).abs().max().item<double>(), tolerance * largest) << i;
      EXPECT_LT((half[i].to(torch::kFloat64) - exact[i]).abs().max().item<double>(), 0.03 * largest) << i;
    }
    const torch::NoGradGuard no_grad;
    Tensors plain;
    for (const auto& t : given) plain.push_back(t.to(torch::kFloat32));
    EXPECT_TRUE(torch::equal(f(plain), single[0])) << "without gradients it is something else";
  }
  use_path(before);
}

torch::Tensor numbers(torch::IntArrayRef sizes) { return torch::randn(sizes, torch::kFloat64); }

class Pointwise : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(1); }
};

TEST_F(Pointwise, Activations) {
  const auto x = numbers({37, 41}) * 4;
  expect_near([](const Tensors& t) { return activation("gelu")(t[0]); },
              [](const Tensors& t) { return torch::gelu(t[0]); }, {x});
  expect_near([](const Tensors& t) { return activation("gelu_new")(t[0]); },
              [](const Tensors& t) { return torch::gelu(t[0], "tanh"); }, {x});
  expect_near([](const Tensors& t) { return activation("silu")(t[0]); },
              [](const Tensors& t) { return torch::silu(t[0]); }, {x});
}

TEST_F(Pointwise, ActivationsAtTheirEnds) {
  const auto x = torch::linspace(-100, 100, 4001, torch::kFloat32);
  for (const auto& [f, name] :
       {std::pair{Curve::gelu, "gelu"}, {Curve::gelu_tanh, "gelu_new"}, {Curve::silu, "silu"}}) {
    const auto wanted = activation(name)(x.to(torch::kFloat64));
    EXPECT_LT((curve_of(f, x).to(torch::kFloat64) - wanted).abs().max().item<double>(), 1e-5) << name;
    const auto odd = torch::full({1024}, std::nan(""));
    EXPECT_TRUE(curve_of(f, odd).isnan().all().item<bool>()) << name;
  }
}

/// y + more, rounded once, and the gradients, to the bit as LibTorch's operations have them.
TEST_F(Pointwise, SumInTheTypeOfTheFirst) {
  const Path before = best_path();
  for (const Path path : possible_paths()) {
    use_path(path);
    SCOPED_TRACE(name_of(path));
    for (const auto& [first, second] : {std::pair{torch::kBFloat16, torch::kFloat32},
                                        {torch::kFloat32, torch::kFloat32},
                                        {torch::kBFloat16, torch::kBFloat16},
                                        {torch::kHalf, torch::kFloat32}}) {
      for (const int64_t width : {41, 3}) {
        const auto leaf = [&](torch::ScalarType type) { return numbers({37, width}).to(type).requires_grad_(); };
        const auto y = leaf(first), more = leaf(second), dy = numbers({37, width}).to(first);
        const auto sum = sum_in_type(y, more), wanted = (y + more).to(first);
        EXPECT_EQ(sum.scalar_type(), first);
        EXPECT_TRUE(torch::equal(sum, wanted));
        const auto found = torch::autograd::grad({sum}, {y, more}, {dy}),
                   gradients = torch::autograd::grad({wanted}, {y, more}, {dy});
        for (size_t i = 0; i < 2; ++i) {
          EXPECT_EQ(found[i].scalar_type(), gradients[i].scalar_type());
          EXPECT_TRUE(torch::equal(found[i], gradients[i])) << i;
        }
        const torch::NoGradGuard no_grad;
        EXPECT_TRUE(torch::equal(sum_in_type(y.t(), more.t()), wanted.t()));
      }
    }
  }
  use_path(before);
}

TEST_F(Pointwise, GatedActivation) {
  expect_near([](const Tensors& t) { return gated_activation("silu")(t[0], t[1]); },
              [](const Tensors& t) { return torch::silu(t[0]) * t[1]; }, {numbers({31, 33}) * 3, numbers({31, 33})});
}

TEST_F(Pointwise, RmsNorm) {
  for (const int64_t width : {64, 50}) {
    expect_near(
        [](const Tensors& t) { return rms_norm(t[0], t[1], 1e-6); },
        [](const Tensors& t) { return t[1] * t[0] * torch::rsqrt(t[0].square().mean(-1, /*keepdim=*/true) + 1e-6); },
        {numbers({130, width}), numbers({width}) + 1}, 5e-6);
  }
}

TEST_F(Pointwise, Rotation) {
  for (const auto& rest : {std::vector<int64_t>{24}, {2, 20}, {2, 16}, {4, 8}}) {
    std::vector<int64_t> heads = {17, 3}, angles = {17};
    heads.insert(heads.end(), rest.begin(), rest.end());
    angles.insert(angles.end(), rest.begin(), rest.end());
    angles.back() /= 2;
    const auto half = numbers(angles), angle = torch::cat({half, half}, -1);
    const auto c = angle.cos(), s = angle.sin();
    const auto wanted = [&](const Tensors& t) {
      const auto parts = t[0].chunk(2, -1);
      return t[0] * c.unsqueeze(1) + torch::cat({-parts[1], parts[0]}, -1) * s.unsqueeze(1);
    };
    expect_near([&](const Tensors& t) { return turned(t[0], c, s); }, wanted, {numbers(heads)});
  }
}

TEST_F(Pointwise, RotationOfAPartOfWiderRows) {
  const auto fused = torch::randn({17, 3, 3, 24}).set_requires_grad(true);
  const auto angle = torch::randn({17, 12}).repeat({1, 2});
  const auto part = [&] { return fused.unbind(2)[1]; };
  const auto found = turned(part(), angle.cos(), angle.sin());
  const auto wanted = turned(part().contiguous(), angle.cos(), angle.sin());
  EXPECT_TRUE(torch::equal(found, wanted));
}

TEST_F(Pointwise, LossesOfRows) {
  for (const int64_t classes : {1000, 37}) {
    const auto labels = torch::randint(classes, {20}, torch::kInt64);
    expect_near([&](const Tensors& t) { return row_losses(t[0], labels); },
                [&](const Tensors& t) { return torch::cross_entropy_loss(t[0], labels, {}, at::Reduction::None); },
                {numbers({20, classes}) * 5});
  }
}

TEST_F(Pointwise, LossesOfRowsRefuseLabelsThatAreNone) {
  for (const int64_t label : {-100, 37}) {
    EXPECT_THROW(row_losses(torch::randn({20, 37}), torch::full({20}, label, torch::kInt64)), c10::Error);
  }
}

TEST_F(Pointwise, SumsOverRowsDoNotDependOnTheThreads) {
  const auto x = numbers({500, 64}), weight = numbers({64}), dy = numbers({500, 64});
  const Function f = [](const Tensors& t) { return rms_norm(t[0], t[1], 1e-6); };
  const int before = at::get_num_threads();
  const auto several = there_and_back(f, {x, weight}, torch::kFloat32, dy);
  at::set_num_threads(1);
  const auto one = there_and_back(f, {x, weight}, torch::kFloat32, dy);
  at::set_num_threads(before);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(torch::equal(one[i], several[i])) << i;
}

TEST_F(Pointwise, RefusesAGradientOfItsGradient) {
  const auto x = torch::randn({64, 64}).set_requires_grad(true);
  EXPECT_THROW(torch::autograd::grad({curve_of(Curve::gelu, x).sum()}, {x}, {}, {}, /*create_graph=*/true), Error);
}

}  // namespace
}  // namespace peftlab
