/// Blueprints, norms and what attention sees, by hand.

#include <peftlab/nn/attention.h>
#include <peftlab/nn/embedding.h>
#include <peftlab/nn/first_values.h>
#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace peftlab {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;
using ::testing::Pointwise;

TEST(Blueprint, HasShapesAndNoMemory) {
  std::shared_ptr<Linear> drawn;
  {
    const Blueprint blueprint;
    EXPECT_TRUE(Blueprint::is_drawn());
    drawn = std::make_shared<Linear>(1 << 20, 1 << 20);  // four terabytes, were it filled
  }
  EXPECT_FALSE(Blueprint::is_drawn());
  EXPECT_THAT(drawn->weight.sizes(), ElementsAre(1 << 20, 1 << 20));
  EXPECT_EQ(drawn->weight.storage().nbytes(), 4u);
  EXPECT_TRUE(Blueprint::describes(drawn->weight));
  const Linear filled(2, 1);
  EXPECT_FALSE(Blueprint::describes(filled.weight));
  EXPECT_GT(filled.weight.abs().sum().item<float>(), 0.0f);
}

TEST(EmbeddingSite, CountsTheSamePlacesOnTheCpuAsOnTheDevice) {
  EmbeddingSite site("words", 4);
  const auto front = torch::zeros({3, 4});
  site.prepend([front] { return front; }, 3);
  Layout layout;
  for (const int64_t length : {2, 1, 4}) layout.add(length, 0);
  auto extended = site.extend(torch::zeros({7, 4}), layout);
  for (const std::vector<int64_t>& rows : {std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}, {1, 2, 6}, {0}, {3, 4}, {}}) {
    const auto asked = torch::tensor(rows, torch::kInt64);
    extended.own_rows = extended.own_rows.cpu();
    const auto wanted = extended.places(asked);
    const auto here = extended;
    extended.own_rows = torch::empty({7}, torch::TensorOptions(torch::kInt64).device(torch::kMeta));  // as if on a GPU
    EXPECT_TRUE(torch::equal(extended.places(asked), wanted)) << rows.size();
    extended = here;
  }
}

TEST(Blueprint, IsFilledInPlace) {
  const Blueprint blueprint;
  Linear linear(3, 2);
  linear.weight.set_data(torch::ones({2, 3}));
  linear.bias.set_data(torch::zeros({2}));
  EXPECT_FLOAT_EQ(linear.forward(torch::ones({1, 3})).sum().item<float>(), 6.0f);
  EXPECT_FALSE(Blueprint::describes(linear.weight));
}

TEST(RmsNorm, DividesByTheRootOfTheMeanSquare) {
  RmsNorm norm(2, 0.0);
  norm.weight.set_data(torch::tensor({1.0f, 2.0f}));
  // x = [3 4]: mean square 12.5.
  const auto y = norm.forward(torch::tensor({{3.0f, 4.0f}}));
  EXPECT_FLOAT_EQ(y[0][0].item<float>(), static_cast<float>(3.0 / std::sqrt(12.5)));
  EXPECT_FLOAT_EQ(y[0][1].item<float>(), static_cast<float>(8.0 / std::sqrt(12.5)));
}

/// One head of width 1 with equal scores everywhere: a row's output is the mean of the values it sees.
std::vector<float> means(const AttentionSite& site, const AttendOptions& options) {
  Layout layout;
  layout.add(4, 0);
  const AttentionPlan plan(layout, torch::kCPU);
  const auto zeros = torch::zeros({4, 1, 1});
  const auto values = torch::tensor({1.0f, 2.0f, 4.0f, 8.0f}).view({4, 1, 1});
  const auto out = plan.attend(zeros, zeros, values, site, nullptr, options);
  return {out.data_ptr<float>(), out.data_ptr<float>() + 4};
}

AttendOptions reaching(int64_t window) {
  AttendOptions options;
  options.window = window;
  return options;
}

AttendOptions scaled(double scale) {
  AttendOptions options;
  options.scale = scale;
  return options;
}

KeyValue sixteen() { return {torch::zeros({1, 1, 1}), torch::full({1, 1, 1}, 16.0f)}; }

TEST(Attention, AWindowReachesSoFarBack) {
  AttentionSite site(1, 1, 1);
  EXPECT_THAT(means(site, {}), Pointwise(FloatEq(), {1.0f, 1.5f, 7.0f / 3.0f, 3.75f}));
  EXPECT_THAT(means(site, reaching(2)), Pointwise(FloatEq(), {1.0f, 1.5f, 3.0f, 6.0f}));
}

TEST(Attention, AWindowLeavesBehindOnlyWhatTakesPositions) {
  AttentionSite free(1, 1, 1), placed(1, 1, 1);
  free.prepend(sixteen, 1);
  placed.prepend(sixteen, 1, /*take_positions=*/true);
  EXPECT_EQ(free.first_position(), 0);
  EXPECT_EQ(placed.first_position(), 1);
  EXPECT_THAT(means(free, reaching(2)), Pointwise(FloatEq(), {8.5f, 19.0f / 3.0f, 22.0f / 3.0f, 28.0f / 3.0f}));
  EXPECT_THAT(means(placed, reaching(2)), Pointwise(FloatEq(), {8.5f, 1.5f, 3.0f, 6.0f}));
}

TEST(Attention, AScaleReplacesTheRootOfTheWidth) {
  Layout layout;
  layout.add(1, 0);
  layout.add(2, 0);
  const AttentionPlan plan(layout, torch::kCPU);
  AttentionSite site(1, 1, 4);
  const auto q = torch::ones({3, 1, 4}), k = torch::ones({3, 1, 4}) * torch::tensor({0.0f, 0.0f, 1.0f}).view({3, 1, 1});
  const auto v = torch::zeros({3, 1, 4}) + torch::tensor({5.0f, 0.0f, 1.0f}).view({3, 1, 1});
  // The last row scores its two keys 0 and 4 times the scale: its output is the weight of the second.
  EXPECT_NEAR(plan.attend(q, k, v, site)[2][0].item<double>(), 1.0 / (1.0 + std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(plan.attend(q, k, v, site, nullptr, scaled(0.25))[2][0].item<double>(), 1.0 / (1.0 + std::exp(-1.0)),
              1e-6);
  EXPECT_TRUE(torch::equal(plan.positions(), torch::tensor({0, 0, 1}, torch::kInt64)));
}

TEST(KeyValueCache, CountsWhatItsSequencesHold) {
  KeyValueCache cache(4);
  Layout prompts, steps;
  prompts.add(3, 2);
  prompts.add(1, 0);
  steps.add(1, 0);
  steps.add(2, 0);
  cache.advance(prompts);
  cache.advance(steps);
  EXPECT_THAT(cache.seen, ElementsAre(4, 3));
  EXPECT_THAT(cache.context, ElementsAre(2, 0));
}

}  // namespace
}  // namespace peftlab
