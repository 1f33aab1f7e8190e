/// Passes launched as graphs, with a recorder that computes them again in a graph's stead: which are recorded, what they
/// are given, and what is refused.

#include "train/graphed_steps.h"
#include "testing/fake_recorder.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab::train {
namespace {

using ::testing::HasSubstr;

/// Sequences of these lengths, full of `token`, with a label at each second token.
PassInputs inputs_of(const std::vector<int64_t>& lengths, int64_t token, int64_t divisor = 1) {
  std::vector<Encoded> examples;
  for (const int64_t length : lengths) {
    Encoded encoded{.tokens = std::vector<int64_t>(length, token), .labels = std::vector<int64_t>(length, kNoLabel)};
    for (int64_t i = 1; i < length; i += 2) encoded.labels[i] = token + i;
    examples.push_back(std::move(encoded));
  }
  return pass_inputs(pack(examples), divisor, 1.0);
}

/// A number of all that a pass is given.
PassOutputs sums(const PassInputs& in) {
  return {(in.batch.tokens.sum() * 1000 + in.labels.sum() + in.at.sum()) / in.divisor * in.scale, torch::Tensor()};
}

class GraphedStepsTest : public ::testing::Test {
 protected:
  double run(const PassInputs& inputs, const Pass& pass = sums, int64_t kind = 1) {
    return steps_.run(inputs, kind, pass).front().item<double>();
  }
  static double exact(const PassInputs& inputs) { return sums(inputs).front().item<double>(); }

  GraphedSteps steps_{torch::kCPU, testing::fake_recording};
};

TEST_F(GraphedStepsTest, AShapeIsRecordedAtItsThirdTimeAndLaunchedFromThenOn) {
  for (int64_t i = 0; i < 6; ++i) {
    const auto inputs = inputs_of({4, 2}, 10 + i, i + 1);
    EXPECT_EQ(run(inputs), exact(inputs)) << i;
    EXPECT_EQ(steps_.recorded(), i >= 2) << i;
    EXPECT_EQ(steps_.replayed(), std::max<int64_t>(0, i - 2)) << i;
  }
}

TEST_F(GraphedStepsTest, EachShapeHasItsOwn) {
  Batch labelled_elsewhere = pack(
      {{.tokens = {1, 2, 3, 4}, .labels = {5, kNoLabel, 5, kNoLabel}}, {.tokens = {6, 7}, .labels = {kNoLabel, 8}}});
  Batch whole = pack({{.tokens = {1, 2, 3, 4}, .labels = {kNoLabel, 5, kNoLabel, 5}, .context = 2},
                      {.tokens = {6, 7}, .labels = {kNoLabel, 8}}});
  Batch pictured = whole;
  pictured.image_features = torch::ones({1, 2, 3});
  pictured.image_at = {0, -1};
  const std::vector<PassInputs> shapes = {inputs_of({4, 2}, 1),       inputs_of({2, 4}, 2),
                                          inputs_of({6}, 3),          pass_inputs(labelled_elsewhere, 1, 1.0),
                                          pass_inputs(whole, 1, 1.0), pass_inputs(pictured, 1, 1.0)};
  for (int64_t time = 0; time < 4; ++time) {
    for (const auto& inputs : shapes) EXPECT_EQ(run(inputs), exact(inputs));
  }
  EXPECT_EQ(steps_.recorded(), static_cast<int64_t>(shapes.size()));
  run(shapes.front(), sums, /*kind=*/2);
  EXPECT_EQ(steps_.replayed(), static_cast<int64_t>(shapes.size())) << "another kind is another shape";
}

TEST_F(GraphedStepsTest, NoMoreAreRecordedThanMayBe) {
  for (int64_t time = 0; time < 4; ++time) {
    for (int64_t length = 2; length < 2 + GraphedSteps::kMostGraphs + 3; ++length) {
      const auto inputs = inputs_of({length}, time);
      EXPECT_EQ(run(inputs), exact(inputs));
    }
  }
  EXPECT_EQ(steps_.recorded(), GraphedSteps::kMostGraphs);
}

TEST_F(GraphedStepsTest, APassDrawsTheSameNumbersInItsRecording) {
  const Pass draws = [](const PassInputs&) { return PassOutputs{torch::rand({100}).sum()}; };
  GraphedSteps twin{torch::kCPU, testing::fake_recording};
  torch::manual_seed(3);
  std::vector<double> wanted, found;
  for (int64_t i = 0; i < 5; ++i) wanted.push_back(draws({}).front().item<double>());
  torch::manual_seed(3);
  for (int64_t i = 0; i < 5; ++i) found.push_back(twin.run(inputs_of({2}, 1), 1, draws).front().item<double>());
  EXPECT_EQ(found, wanted);
}

TEST_F(GraphedStepsTest, ARecordingThatGivesOtherNumbersIsRefused) {
  const Pass decides = [count = std::make_shared<int64_t>(0)](const PassInputs&) {
    return PassOutputs{torch::full({}, static_cast<double>(++*count))};
  };
  run(inputs_of({2}, 1), decides);
  run(inputs_of({2}, 1), decides);
  try {
    run(inputs_of({2}, 1), decides);
    FAIL() << "a pass that changes by itself was recorded";
  } catch (const TrainError& error) {
    EXPECT_THAT(error.what(), HasSubstr("decides something anew in each step; leave cuda_graphs out"));
  }
}

TEST_F(GraphedStepsTest, WhatCannotBeRecordedIsSaid) {
  GraphedSteps steps(torch::kCPU, [](const std::function<PassOutputs()>&) -> std::unique_ptr<RecordedPass> {
    throw std::runtime_error("operation not permitted when stream is capturing");
  });
  const auto inputs = inputs_of({2}, 1);
  steps.run(inputs, 1, sums);
  steps.run(inputs, 1, sums);
  try {
    steps.run(inputs, 1, sums);
    FAIL() << "nothing was said";
  } catch (const TrainError& error) {
    EXPECT_THAT(error.what(), HasSubstr("leave cuda_graphs out: operation not permitted when stream is capturing"));
  }
}

}  // namespace
}  // namespace peftlab::train
