#include "evaluate/generate.h"
#include "evaluate/judge.h"

#include "testing/toy_session.h"
#include "train/loss.h"

#include <peftlab/error.h>
#include <peftlab/testing/texts.h>
#include <peftlab/testing/toy.h>

#include <ATen/CPUGeneratorImpl.h>
#include <gtest/gtest.h>

#include <map>

namespace peftlab::evaluate {
namespace {

const testing::Texts& words() {
  static const testing::Texts kWords({{"cat", "meow"}, {"a long question", "yes"}, {"cow", "moo"}});
  return kWords;
}

/// The likeliest answer by whole passes, without a cache.
std::vector<int64_t> answer_slowly(Model& model, std::vector<int64_t> tokens, int64_t most) {
  const torch::NoGradGuard no_grad;
  std::vector<int64_t> answer;
  while (static_cast<int64_t>(answer.size()) < most) {
    const Batch batch = pack({{tokens, std::vector<int64_t>(tokens.size(), kNoLabel), 0, -1}});
    const int64_t id = model.head(model.hidden(batch).slice(0, -1)).argmax().item<int64_t>();
    if (id == testing::ToyTokenizer::kEnd) break;
    answer.push_back(id);
    tokens.push_back(id);
  }
  return answer;
}

class Generation : public ::testing::TestWithParam<std::string> {};

TEST_P(Generation, WithTheCacheIsThatWithout) {
  auto session = testing::toy_session(GetParam());
  train::Feed prompts(words(), *session.model, *session.tokenizer, 0, torch::kCPU, /*with_target=*/false);
  const auto answers = generate(session, prompts, {.max_new_tokens = 12, .batch_size = 2});
  for (int64_t i = 0; i < words().size(); ++i) {
    EXPECT_EQ(answers[i], answer_slowly(*session.model, prompts.encoded(i).tokens, 12)) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, Generation, ::testing::Values("none", "lora", "adapter", "prefix", "prompt"));

class Likelihoods : public ::testing::TestWithParam<std::string> {};

TEST_P(Likelihoods, BySharedPromptsAreThoseOfWholePasses) {
  auto session = testing::toy_session(GetParam());
  ModelJudge judge(session, words(), {.batch_size = 1});
  const std::vector<Candidate> candidates = {{0, "meow"}, {0, "moo"}, {1, "no"}, {2, "moo"}, {2, "meow"}, {2, "a"}};
  const auto found = judge.likelihoods(candidates);
  for (size_t i = 0; i < candidates.size(); ++i) {
    const testing::Texts one({{words().example(candidates[i].example).prompt, candidates[i].text}});
    train::Feed feed(one, *session.model, *session.tokenizer, 0, torch::kCPU);
    const torch::NoGradGuard no_grad;
    const auto losses = train::token_losses(*session.model, feed.batch({0}));
    EXPECT_NEAR(found[i].log_probability, -losses.sum().item<double>(), 1e-4) << candidates[i].text;
    EXPECT_EQ(found[i].tokens, static_cast<int64_t>(candidates[i].text.size()) + 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Methods, Likelihoods, ::testing::Values("none", "lora", "prefix", "prompt"));

TEST(Loss, IsTheMeanOverLabelledTokensOfTheSplit) {
  auto session = testing::toy_session("none");
  const Score all = ModelJudge(session, words(), {.batch_size = 2}).loss();
  ASSERT_EQ(all.per_item.size(), 3u);
  double sum = 0;
  for (const double item : all.per_item) sum += item;
  EXPECT_NEAR(all.value, sum / (5 + 4 + 4), 1e-12);  // "meow", "yes", "moo" and their ends
  EXPECT_EQ(all.n_items, 3);
  EXPECT_FALSE(all.higher_is_better);
  EXPECT_NEAR(ModelJudge(session, words(), {.batch_size = 32}).loss().value, all.value, 1e-6) << "neighbours do not matter";
}

TEST(Choose, GreedyTakesTheLikeliest) {
  auto generator = at::detail::createCPUGenerator(0);
  EXPECT_EQ(choose(torch::tensor({0.1f, 3.0f, 2.0f}), {}, {}, generator), 1);
}

TEST(Choose, ThePenaltyWorksOnBothSigns) {
  auto generator = at::detail::createCPUGenerator(0);
  const GenerationOptions options{.repetition_penalty = 2.0};
  EXPECT_EQ(choose(torch::tensor({3.0f, 2.0f}), options, {0, 0}, generator), 1);     // 3 / 2 < 2
  EXPECT_EQ(choose(torch::tensor({-1.0f, -1.5f}), options, {0}, generator), 1);      // -1 * 2 < -1.5
}

TEST(Choose, SamplingStaysWithinTopKAndTopP) {
  auto generator = at::detail::createCPUGenerator(1);
  const auto logits = torch::log(torch::tensor({0.5f, 0.3f, 0.15f, 0.05f}));
  std::map<int64_t, int> by_k, by_p;
  for (int i = 0; i < 2000; ++i) {
    ++by_k[choose(logits, {.sample = true, .top_k = 2}, {}, generator)];
    ++by_p[choose(logits, {.sample = true, .top_p = 0.7}, {}, generator)];
  }
  EXPECT_EQ(by_k.size(), 2u);
  EXPECT_EQ(by_p.size(), 2u);  // 0.5 < 0.7, so the second is needed; 0.8 >= 0.7, so the third is not
  EXPECT_NEAR(by_k[0] / 2000.0, 0.5 / 0.8, 0.05);
}

TEST(TextJudge, HasNoLikelihoods) {
  TextJudge judge({"a"}, {{"a"}});
  EXPECT_THROW(judge.likelihoods({{0, "a"}}), UnsupportedError);
}

}  // namespace
}  // namespace peftlab::evaluate
