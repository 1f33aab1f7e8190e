/// The loop on a toy model: what it promises about batches, resuming and divergence.

#include "train/trainer.h"
#include "testing/fake_recorder.h"
#include "testing/toy_session.h"
#include "train/loss.h"

#include <peftlab/error.h>
#include <peftlab/testing/texts.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab::train {
namespace {

namespace fs = std::filesystem;

const testing::Texts& words() {
  static const testing::Texts kWords({{"cat", "meow"},
                                      {"dog", "woof"},
                                      {"cow", "moo"},
                                      {"duck", "quack"},
                                      {"pig", "oink"},
                                      {"bee", "buzz"},
                                      {"owl", "hoot"}});
  return kWords;
}

config::TrainSection section_of(int64_t steps, int64_t batch = 2) {
  config::TrainSection section;
  section.steps = steps;
  section.batch_size = batch;
  section.learning_rate = 1e-2;
  return section;
}

struct Trained {
  std::vector<double> losses;
  TensorMap tensors;
  TrainResult result;
};

Trained run(attach::Session& session, const config::TrainSection& section, Watch watch = {}, int64_t seed = 0) {
  Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
  Trained trained;
  watch.step = [&](const StepReport& step) { trained.losses.push_back(step.loss); };
  trained.result = train(session, feed, section, seed, watch);
  for (const auto& [name, tensor] : session.trained()) trained.tensors[name] = tensor.detach().clone();
  return trained;
}

void expect_equal(const TensorMap& a, const TensorMap& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [name, tensor] : a) EXPECT_TRUE(torch::equal(tensor, b.at(name))) << name;
}

TEST(Trainer, LowersTheLoss) {
  auto session = testing::toy_session("full");
  const auto trained = run(session, section_of(60, 7));
  EXPECT_LT(trained.losses.back(), 0.5 * trained.losses.front());
  EXPECT_EQ(trained.result.steps, 60);
  EXPECT_EQ(trained.result.examples, 60 * 7);
}

TEST(Trainer, TheSameSeedGivesTheSameBitsAnotherSeedOthers) {
  auto a = testing::toy_session("lora", {{"dropout", 0.5}}), b = testing::toy_session("lora", {{"dropout", 0.5}}),
       c = testing::toy_session("lora", {{"dropout", 0.5}});
  const auto first = run(a, section_of(6)), second = run(b, section_of(6)), other = run(c, section_of(6), {}, 1);
  EXPECT_EQ(first.losses, second.losses);
  expect_equal(first.tensors, second.tensors);
  EXPECT_NE(first.losses, other.losses);
}

TEST(Trainer, AccumulatedBatchesAreOneBatch) {
  // Two batches of 2 in one step are a batch of 4: the loss is the mean over all labelled tokens of both.
  auto a = testing::toy_session("lora"), b = testing::toy_session("lora");
  auto halves = section_of(3, 2);
  halves.gradient_accumulation = 2;
  halves.shuffle = false;
  auto whole = section_of(3, 4);
  whole.shuffle = false;
  const auto first = run(a, halves), second = run(b, whole);
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(first.losses[i], second.losses[i], 1e-5);
}

TEST(Trainer, PassesLaunchedAsGraphsChangeNoBit) {
  // Any two of them are a batch of one shape.
  const testing::Texts even({{"cat", "meow"}, {"dog", "woof"}, {"owl", "hoot"}, {"bee", "buzz"}});
  for (const std::string precision : {"fp32", "bf16"}) {
    for (const int64_t accumulation : {1, 2}) {
      std::vector<Trained> trained;
      for (const bool by_graph : {false, true}) {
        auto session = testing::toy_session("lora", {{"dropout", 0.5}});
        auto section = section_of(8);
        section.gradient_accumulation = accumulation;
        section.precision = precision;
        section.cuda_graphs = by_graph;
        Feed feed(even, *session.model, *session.tokenizer, 0, torch::kCPU);
        Trained& run = trained.emplace_back();
        Watch watch;
        watch.recorder = testing::fake_recording;
        watch.step = [&](const StepReport& step) { run.losses.push_back(step.loss); };
        run.result = train(session, feed, section, 0, watch);
        for (const auto& [name, tensor] : session.trained()) run.tensors[name] = tensor.detach().clone();
      }
      EXPECT_EQ(trained[0].result.graphed_batches, 0);
      EXPECT_EQ(trained[1].result.graphed_batches, 8 * accumulation - 3) << "all but two and the one that was recorded";
      EXPECT_EQ(trained[0].losses, trained[1].losses) << precision << " " << accumulation;
      expect_equal(trained[0].tensors, trained[1].tensors);
    }
  }
}

TEST(Trainer, CheckpointingChangesNoBit) {
  for (const std::string precision : {"fp32", "bf16"}) {
    auto a = testing::toy_session("lora", {{"dropout", 0.5}}), b = testing::toy_session("lora", {{"dropout", 0.5}});
    auto section = section_of(6);
    section.gradient_accumulation = 2;
    section.precision = precision;
    const auto without = run(a, section);
    section.gradient_checkpointing = true;
    const auto with = run(b, section);
    EXPECT_EQ(with.losses, without.losses) << precision;
    expect_equal(with.tensors, without.tensors);
  }
}

/// Every method plugin there is, but for those that train nothing here.
std::vector<std::string> methods_that_train() {
  std::vector<std::string> names = registry::Registry({testing::plugin_folder()}).names(Kind::method);
  std::erase(names, "none");
  std::erase(names, "head");       // the toy has no classes
  std::erase(names, "quantized");  // only changes how the base is stored
  return names;
}

/// The toy under a method, with the options it cannot do without there, or that make its steps depend on each other.
attach::Session session_of(const std::string& method) {
  const std::map<std::string, Table> options = {
      {"ia3",
       {{"targets", std::vector<std::string>{"query_key_value", "dense_4h_to_h"}},
        {"feedforward", std::vector<std::string>{"dense_4h_to_h"}}}},
      {"adalora", {{"rank", 4}, {"target_rank", 2}, {"warmup_steps", 2}, {"final_steps", 2}}},
  };
  const auto own = options.find(method);
  return testing::toy_session(method, own == options.end() ? Table() : own->second);
}

class Resuming : public ::testing::TestWithParam<std::string> {};

TEST_P(Resuming, GoesOnBitForBitFromEveryStep) {
  const fs::path file = fs::path(::testing::TempDir()) / ("resume_" + GetParam() + ".safetensors");
  constexpr int64_t kSteps = 9;  // more than two epochs of 4 steps
  auto whole = session_of(GetParam());
  const auto expected = run(whole, section_of(kSteps));
  for (int64_t stop = 1; stop < kSteps; ++stop) {
    fs::remove(file);
    auto first = session_of(GetParam());
    int64_t made = 0;
    const auto part = run(first, section_of(kSteps), {.stop = [&] { return ++made == stop; }, .resume_file = file});
    ASSERT_TRUE(part.result.interrupted);
    ASSERT_EQ(part.result.steps, stop);
    auto second = session_of(GetParam());
    const auto rest = run(second, section_of(kSteps), {.resume_file = file});
    EXPECT_EQ(rest.result.steps, kSteps);
    EXPECT_EQ(rest.result.examples, expected.result.examples);
    std::vector<double> losses = part.losses;
    losses.insert(losses.end(), rest.losses.begin(), rest.losses.end());
    EXPECT_EQ(losses, expected.losses) << "stopped after step " << stop;
    expect_equal(rest.tensors, expected.tensors);
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, Resuming, ::testing::ValuesIn(methods_that_train()),
                         [](const auto& info) { return info.param; });

class Optimizers : public ::testing::TestWithParam<std::string> {};

TEST_P(Optimizers, LowerTheLossAndGoOnBitForBit) {
  const fs::path file = fs::path(::testing::TempDir()) / ("resume_" + GetParam() + ".safetensors");
  fs::remove(file);
  auto section = section_of(20, 7);
  section.optimizer = GetParam();
  auto whole = testing::toy_session("full"), first = testing::toy_session("full"),
       second = testing::toy_session("full");
  const auto expected = run(whole, section);
  EXPECT_LT(expected.losses.back(), expected.losses.front());
  EXPECT_GT(expected.result.optimizer_bytes, 0);
  int64_t made = 0;
  run(first, section, {.stop = [&] { return ++made == 13; }, .resume_file = file});
  expect_equal(run(second, section, {.resume_file = file}).tensors, expected.tensors);
  if (GetParam() == "paged_adamw") {
    auto plain = testing::toy_session("full");
    section.optimizer = "adamw";
    EXPECT_EQ(run(plain, section).losses, expected.losses);
  }
}

INSTANTIATE_TEST_SUITE_P(Names, Optimizers, ::testing::Values("adamw", "paged_adamw", "adamw8bit"),
                         [](const auto& info) { return info.param; });

TEST(Trainer, DivergenceNamesStepValueAndRate) {
  auto session = testing::toy_session("full");
  auto section = section_of(50);
  section.learning_rate = 1e30;
  section.lr_scheduler = "constant";
  try {
    run(session, section);
    FAIL() << "nothing was thrown";
  } catch (const TrainError& error) {
    EXPECT_THAT(error.what(), ::testing::ContainsRegex("step [0-9]+ .*learning rate 1e\\+30.*diverged"));
  }
}

TEST(Trainer, MilestonesComeEveryEpochAndAtTheEnd) {
  auto session = testing::toy_session("lora");
  std::vector<int64_t> steps;
  run(session, section_of(9), {.milestone = [&](const TrainResult& so_far) { steps.push_back(so_far.steps); }});
  EXPECT_EQ(steps, (std::vector<int64_t>{4, 8, 9}));  // 7 examples in batches of 2: 4 steps an epoch
}

TEST(Trainer, LowerPrecisionTrainsToo) {
  for (const std::string precision : {"bf16", "fp16"}) {
    auto session = testing::toy_session("lora");
    auto section = section_of(30, 7);
    section.precision = precision;
    const auto trained = run(session, section);
    EXPECT_LT(trained.losses.back(), trained.losses.front()) << precision;
    for (const auto& [name, tensor] : trained.tensors) EXPECT_EQ(tensor.scalar_type(), torch::kFloat32) << name;
  }
}

TEST(Trainer, WithoutAnythingToTrainNothingHappens) {
  auto session = testing::toy_session("none");
  EXPECT_EQ(run(session, section_of(5)).result.steps, 0);
}

TEST(Feed, RefusesMoreThanTheModelHolds) {
  auto session = testing::toy_session("none");
  EXPECT_THROW(Feed(words(), *session.model, *session.tokenizer, 65, torch::kCPU), ConfigError);
}

TEST(TokenLosses, AreThoseOfTheFullLogits) {
  testing::ToyModel model;
  const testing::ToyTokenizer tokenizer;
  const torch::NoGradGuard no_grad;
  Feed feed(words(), model, tokenizer, 0, torch::kCPU);
  const Batch batch = feed.batch({0, 3});
  const auto logits = model.head(model.hidden(batch));
  const auto expected = torch::cross_entropy_loss(logits, batch.labels, {}, at::Reduction::Mean, kNoLabel);
  EXPECT_NEAR(token_losses(model, batch).mean().item<double>(), expected.item<double>(), 1e-6);
}

}  // namespace
}  // namespace peftlab::train
