/// The loop's arithmetic, against numbers a person can check.

#include "train/adamw.h"
#include "train/gradients.h"
#include "train/loss_scaler.h"
#include "train/sampler.h"
#include "train/schedule.h"
#include "train/trainer.h"

#include <peftlab/error.h>

#include <gtest/gtest.h>

#include <limits>
#include <numeric>
#include <set>

namespace peftlab::train {
namespace {

TEST(Schedule, LinearRisesAndFalls) {
  // 10 steps, 2 of warm-up: 0, 1/2, then 8/8, 7/8, ... 1/8.
  EXPECT_DOUBLE_EQ(schedule_factor("linear", 0, 10, 2), 0.0);
  EXPECT_DOUBLE_EQ(schedule_factor("linear", 1, 10, 2), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor("linear", 2, 10, 2), 1.0);
  EXPECT_DOUBLE_EQ(schedule_factor("linear", 6, 10, 2), 0.5);
  EXPECT_DOUBLE_EQ(schedule_factor("linear", 9, 10, 2), 0.125);
  EXPECT_DOUBLE_EQ(schedule_factor("linear", 10, 10, 2), 0.0);
}

TEST(Schedule, CosineIsHalfWayInTheMiddle) {
  EXPECT_DOUBLE_EQ(schedule_factor("cosine", 0, 8, 0), 1.0);
  EXPECT_NEAR(schedule_factor("cosine", 2, 8, 0), 0.5 * (1 + std::sqrt(0.5)), 1e-15);
  EXPECT_NEAR(schedule_factor("cosine", 4, 8, 0), 0.5, 1e-15);
  EXPECT_NEAR(schedule_factor("cosine", 8, 8, 0), 0.0, 1e-15);
}

TEST(Schedule, ConstantStays) { EXPECT_DOUBLE_EQ(schedule_factor("constant", 7, 8, 2), 1.0); }

TEST(Schedule, WarmupIsRoundedUp) {
  EXPECT_EQ(warmup_steps(0.1, 11), 2);
  EXPECT_EQ(warmup_steps(0.0, 11), 0);
}

TEST(Schedule, AnUnknownNameIsRefused) { EXPECT_THROW(schedule_factor("wave", 0, 1, 0), ConfigError); }

TEST(Sampler, AnEpochHoldsEveryExampleOnce) {
  const auto order = epoch_order(1000, 3, 0, true);
  EXPECT_EQ(std::set<int64_t>(order.begin(), order.end()).size(), 1000u);
  EXPECT_EQ(std::accumulate(order.begin(), order.end(), int64_t{0}), 999 * 1000 / 2);
}

TEST(Sampler, TheOrderIsAFunctionOfSeedAndEpoch) {
  EXPECT_EQ(epoch_order(50, 1, 2, true), epoch_order(50, 1, 2, true));
  EXPECT_NE(epoch_order(50, 1, 2, true), epoch_order(50, 1, 3, true));
  EXPECT_NE(epoch_order(50, 1, 2, true), epoch_order(50, 2, 2, true));
  EXPECT_EQ(epoch_order(4, 1, 2, false), (std::vector<int64_t>{0, 1, 2, 3}));
}

TEST(Sampler, PurposesHaveStreamsOfTheirOwn) {
  EXPECT_NE(stream(0, "order", 0), stream(0, "dropout", 0));
  EXPECT_NE(stream(0, "order", 0), stream(0, "order", 1));
}

TEST(AdamWStep, FirstStepMovesByTheRateAgainstTheSign) {
  // After one step m / (1 - b1) = g and v / (1 - b2) = g^2: the update is rate * g / (|g| + eps).
  auto w = torch::tensor({1.0f, 1.0f}).requires_grad_();
  w.mutable_grad() = torch::tensor({0.5f, -2.0f});
  AdamW optimizer({{"w", w}}, {});
  optimizer.step(0.1);
  EXPECT_NEAR(w[0].item<double>(), 0.9, 1e-6);
  EXPECT_NEAR(w[1].item<double>(), 1.1, 1e-6);
}

TEST(AdamWStep, DecaysMatricesButNoBiasesOrNorms) {
  EXPECT_TRUE(decays("base/dense.weight", torch::ones({2, 2})));
  EXPECT_FALSE(decays("base/norm.weight", torch::ones({2})));
  EXPECT_FALSE(decays("base/dense.bias", torch::ones({2})));
  EXPECT_FALSE(decays("adapter/layer/down.bias", torch::ones({2})));
  EXPECT_FALSE(decays("ptuning/lstm.bias_ih_l0", torch::ones({2})));
  // transformers exempts by name and type, so a method's vectors decay: DoRA's magnitudes, VeRA's scales.
  EXPECT_TRUE(decays("lora/layer.magnitude", torch::ones({2})));
  // Without a gradient's pull, w <- w (1 - rate * decay): 2 (1 - 0.1 * 0.5) = 1.9.
  auto w = torch::full({1, 1}, 2.0f).requires_grad_();
  w.mutable_grad() = torch::zeros({1, 1});
  AdamW optimizer({{"w", w}}, {.weight_decay = 0.5});
  optimizer.step(0.1);
  EXPECT_NEAR(w.item<double>(), 1.9, 1e-6);
}

TEST(AdamWStep, SecondStepByHand) {
  // g = 1, then 3. m = 0.9 * 0.1 + 0.3 = 0.39, / (1 - 0.81) = 2.0526...; v = 0.999 * 0.001 + 0.009 = 0.009999,
  // / (1 - 0.998001) = 5.002...; the second update is 2.0526 / sqrt(5.002).
  auto w = torch::zeros({1}).requires_grad_();
  AdamW optimizer({{"w", w}}, {});
  w.mutable_grad() = torch::ones({1});
  optimizer.step(1.0);
  w.mutable_grad() = torch::full({1}, 3.0f);
  optimizer.step(1.0);
  EXPECT_NEAR(w.item<double>(), -1.0 - (0.39 / 0.19) / std::sqrt(0.009999 / 0.001999), 1e-5);
}

TEST(Clip, ScalesToTheLimitOnly) {
  auto a = torch::zeros({1}).requires_grad_(), b = torch::zeros({1}).requires_grad_();
  a.mutable_grad() = torch::full({1}, 3.0f);
  b.mutable_grad() = torch::full({1}, 4.0f);
  const TensorMap both = {{"a", a}, {"b", b}};
  EXPECT_NEAR(clipping(both, 10.0).norm, 5.0, 1e-6);
  EXPECT_EQ(clipping(both, 10.0).factor, 1.0);
  EXPECT_EQ(clipping(both, 0.0).factor, 1.0);
  EXPECT_NEAR(clipping(both, 1.0).norm, 5.0, 1e-6);
  EXPECT_NEAR(clipping(both, 1.0).factor, 0.2, 1e-6);
}

TEST(LossScale, HalvesOnOverflowAndDoublesAfterTwoThousandGoodSteps) {
  LossScaler scaler(true);
  EXPECT_EQ(scaler.scale(), 65536.0);
  auto w = torch::zeros({2}).requires_grad_();
  w.mutable_grad() = torch::tensor({65536.0f, std::numeric_limits<float>::infinity()});
  EXPECT_FALSE(scaler.unscale({{"w", w}}));
  EXPECT_TRUE(scaler.update(false));
  EXPECT_EQ(scaler.scale(), 32768.0);
  for (int i = 0; i < 1999; ++i) scaler.update(true);
  EXPECT_EQ(scaler.scale(), 32768.0);
  scaler.update(true);
  EXPECT_EQ(scaler.scale(), 65536.0);
  w.mutable_grad() = torch::full({2}, 65536.0f);
  EXPECT_TRUE(scaler.unscale({{"w", w}}));
  EXPECT_EQ(w.grad()[0].item<float>(), 1.0f);
}

TEST(LossScale, GivesUpBelowOne) {
  LossScaler scaler(true);
  for (int i = 0; i < 16; ++i) EXPECT_TRUE(scaler.update(false)) << i;
  EXPECT_FALSE(scaler.update(false));
}

TEST(PlannedSteps, RoundsBatchesAndStepsUp) {
  config::TrainSection section;
  section.epochs = 2;
  section.batch_size = 4;
  section.gradient_accumulation = 2;
  EXPECT_EQ(planned_steps(section, 17), 2 * 3);  // 5 batches an epoch, 3 steps
  section.steps = 7;
  EXPECT_EQ(planned_steps(section, 17), 7);
}

}  // namespace
}  // namespace peftlab::train
