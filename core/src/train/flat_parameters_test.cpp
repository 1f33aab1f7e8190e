#include "train/flat_parameters.h"

#include "train/adamw.h"
#include "train/paged_adamw.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <functional>

namespace peftlab::train {
namespace {

torch::Tensor parameter(torch::IntArrayRef sizes) { return torch::randn(sizes).requires_grad_(); }

std::vector<torch::Tensor> some() { return {parameter({16, 5}), parameter({32}), parameter({2, 2, 4})}; }

void give_gradients(const std::vector<torch::Tensor>& parameters) {
  for (const torch::Tensor& parameter : parameters) parameter.mutable_grad() = torch::randn_like(parameter);
}

class FlatParametersTest : public ::testing::Test {
 protected:
  void SetUp() override { torch::manual_seed(0); }
};

TEST_F(FlatParametersTest, KeepTheirValuesAndShareOneMemory) {
  const auto parameters = some();
  std::vector<torch::Tensor> before;
  for (const auto& parameter : parameters) before.push_back(parameter.detach().clone());
  const FlatParameters flat(parameters);
  EXPECT_EQ(flat.moved(), (std::vector<size_t>{0, 1, 2}));
  ASSERT_EQ(flat.values().sizes(), torch::IntArrayRef({80 + 32 + 16}));
  for (size_t i = 0; i < parameters.size(); ++i) EXPECT_TRUE(torch::equal(parameters[i], before[i])) << i;
  {
    const torch::NoGradGuard no_grad;
    torch::Tensor(flat.values()).mul_(2);
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    EXPECT_TRUE(torch::equal(parameters[i], 2 * before[i])) << i;
    EXPECT_TRUE(parameters[i].requires_grad() && parameters[i].is_leaf()) << i;
  }
}

TEST_F(FlatParametersTest, LeaveWhatIsLargeStridedOfAnotherTypeOrLookedAt) {
  const auto large = parameter({FlatParameters::kMostNumbers + 16}),
             strided = torch::randn({4, 8}).t().requires_grad_();
  const auto first = parameter({16}), other = torch::randn({16}).to(torch::kFloat64).requires_grad_();
  const auto looked_at = parameter({48}), broken_block = parameter({17}), last = parameter({32});
  const auto view = looked_at.detach();
  const void* const where = looked_at.const_data_ptr();
  const FlatParameters flat({large, strided, first, other, looked_at, broken_block, last});
  EXPECT_EQ(flat.moved(), (std::vector<size_t>{2, 6}));
  EXPECT_EQ(looked_at.const_data_ptr(), where);
  EXPECT_FALSE(FlatParameters({large}).values().defined());
  EXPECT_FALSE(FlatParameters({}).values().defined());
}

TEST_F(FlatParametersTest, BringTheirGradientsTogether) {
  const auto parameters = some();
  FlatParameters flat(parameters);
  for (int step = 0; step < 2; ++step) {
    std::vector<torch::Tensor> wanted;
    // As backward() leaves them: in memory of their own, in any order.
    parameters[0].mutable_grad() = torch::randn({5, 16}).t();
    parameters[1].mutable_grad() = torch::randn({32});
    parameters[2].mutable_grad() = torch::randn({2, 2, 4});
    for (const auto& parameter : parameters) wanted.push_back(parameter.grad().clone());
    const auto together = flat.gradients();
    ASSERT_TRUE(together.defined());
    torch::Tensor(together).mul_(3);
    for (size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_TRUE(torch::equal(parameters[i].grad(), 3 * wanted[i])) << i;
      parameters[i].mutable_grad().reset();
    }
  }
  EXPECT_FALSE(flat.gradients().defined()) << "none has a gradient";
}

TEST_F(FlatParametersTest, SayWhenOneHasLeft) {
  const auto parameters = some();
  FlatParameters flat(parameters);
  give_gradients(parameters);
  EXPECT_TRUE(flat.gradients().defined());
  torch::Tensor(parameters[1]).set_data(torch::randn({32}));
  EXPECT_FALSE(flat.gradients().defined());
}

TensorMap named(const std::vector<torch::Tensor>& parameters) {
  TensorMap map;
  for (size_t i = 0; i < parameters.size(); ++i) map["p" + std::to_string(i)] = parameters[i];
  return map;
}

/// Steps of AdamW beside those that take one parameter at a time. `between` may do something before each step.
void expect_the_same_steps(const std::function<void(std::vector<torch::Tensor>&, int64_t)>& between) {
  torch::manual_seed(1);
  std::vector<torch::Tensor> flat, alone;
  for (const int64_t numbers : {1, 16, 48, 17, 96, 1008, 4112, 4099, 70000}) {
    flat.push_back(parameter({numbers}));
    alone.push_back(flat.back().detach().clone().requires_grad_());
  }
  const Optimizer::Options options{.weight_decay = 0.1, .rate_factors = {{"p4", 4.0}, {"p5", 4.0}}};
  AdamW together(named(flat), options);
  PagedAdamW each(named(alone), options, ::testing::TempDir());
  for (int64_t step = 1; step <= 4; ++step) {
    for (auto* parameters : {&flat, &alone}) {
      torch::manual_seed(10 + step);
      give_gradients(*parameters);
      between(*parameters, step);
    }
    together.step(0.01, step == 2 ? 0.25 : 1.0);
    each.step(0.01, step == 2 ? 0.25 : 1.0);
    for (size_t i = 0; i < flat.size(); ++i) {
      EXPECT_TRUE(torch::equal(flat[i], alone[i])) << "parameter " << i << ", step " << step;
      EXPECT_EQ(flat[i].grad().defined(), alone[i].grad().defined());
    }
    const TensorMap found = together.state(), wanted = each.state();
    for (const auto& [name, tensor] : wanted) EXPECT_TRUE(torch::equal(found.at(name), tensor)) << name << ' ' << step;
    together.zero_gradients();
    each.zero_gradients();
  }
}

TEST(AdamWOfFlatParameters, IsThatOfEachBitForBit) {
  expect_the_same_steps([](auto&, int64_t) {});
}

TEST(AdamWOfFlatParameters, LeavesOneWithoutAGradientAlone) {
  expect_the_same_steps([](auto& parameters, int64_t step) {
    if (step == 2) parameters[2].mutable_grad().reset();
  });
}

TEST(AdamWOfFlatParameters, FollowsOneThatWasGivenOtherMemory) {
  expect_the_same_steps([](auto& parameters, int64_t step) {
    if (step == 3) parameters[4].set_data(torch::ones({96}));
  });
}

TEST(AdamWOfFlatParameters, GoesOnFromCountsThatDiffer) {
  torch::manual_seed(2);
  const auto a = parameter({16}), b = parameter({16});
  AdamW first({{"a", a}, {"b", b}}, {});
  a.mutable_grad() = torch::ones({16});
  first.step(0.1);
  const auto a2 = a.detach().clone().requires_grad_(), b2 = b.detach().clone().requires_grad_();
  AdamW second({{"a", a2}, {"b", b2}}, {});
  second.load_state(first.state());
  for (const auto& each : {a, b, a2, b2}) each.mutable_grad() = torch::full({16}, 0.5);
  first.step(0.1);
  second.step(0.1);
  EXPECT_TRUE(torch::equal(a, a2) && torch::equal(b, b2));
  EXPECT_EQ(second.state().at("a/t").item<float>(), 2.0f);
  EXPECT_EQ(second.state().at("b/t").item<float>(), 1.0f);
}

}  // namespace
}  // namespace peftlab::train
