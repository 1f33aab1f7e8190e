#include "evaluate/generate.h"
#include "evaluate/judge.h"

#include "api/packed_weights.h"
#include "testing/toy_session.h"
#include "train/loss.h"

#include <peftlab/error.h>
#include <peftlab/testing/texts.h>
#include <peftlab/testing/toy.h>

#include <gtest/gtest.h>

#include <algorithm>

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

/// The best beams by whole passes, without a cache: every continuation of every beam is scored anew, those that end leave.
std::vector<int64_t> search_slowly(Model& model, const std::vector<int64_t>& prompt, size_t beams, int64_t most) {
  const torch::NoGradGuard no_grad;
  using Scored = std::pair<float, std::vector<int64_t>>;
  const auto best_first = [](const Scored& a, const Scored& b) { return a.first > b.first; };
  std::vector<Scored> open = {{0.0f, {}}}, finished;
  for (int64_t made = 1; made <= most; ++made) {
    std::vector<Scored> all;
    for (const auto& [score, answer] : open) {
      auto tokens = prompt;
      tokens.insert(tokens.end(), answer.begin(), answer.end());
      const Batch batch = pack({{tokens, std::vector<int64_t>(tokens.size(), kNoLabel), 0, -1}});
      const auto row = model.head(model.hidden(batch).slice(0, -1)).log_softmax(-1).contiguous();
      for (int64_t id = 0; id < row.numel(); ++id) {
        all.emplace_back(score + row.data_ptr<float>()[id], answer);
        all.back().second.push_back(id);
      }
    }
    std::stable_sort(all.begin(), all.end(), best_first);
    open.clear();
    for (size_t i = 0; i < 2 * beams; ++i) {
      const bool ends = all[i].second.back() == testing::ToyTokenizer::kEnd;
      if ((ends || made == most) && i < beams) finished.emplace_back(all[i].first / made, all[i].second);
      if (!ends && open.size() < beams) open.push_back(all[i]);
    }
    std::stable_sort(finished.begin(), finished.end(), best_first);
    if (finished.size() > beams) finished.resize(beams);
    if (finished.size() == beams && open[0].first / made <= finished.back().first) break;
  }
  auto best = finished[0].second;
  if (best.back() == testing::ToyTokenizer::kEnd) best.pop_back();
  return best;
}

TEST_P(Generation, BeamsWithTheCacheAreThoseWithout) {
  auto session = testing::toy_session(GetParam());
  train::Feed prompts(words(), *session.model, *session.tokenizer, 0, torch::kCPU, /*with_target=*/false);
  const auto answers = generate(session, prompts, {.max_new_tokens = 8, .num_beams = 3, .batch_size = 2});
  for (int64_t i = 0; i < words().size(); ++i) {
    EXPECT_EQ(answers[i], search_slowly(*session.model, prompts.encoded(i).tokens, 3, 8)) << i;
  }
}

TEST_P(Generation, EndsWhereTheModelIsFull) {
  auto session = testing::toy_session(GetParam());
  train::Feed prompts(words(), *session.model, *session.tokenizer, 0, torch::kCPU, /*with_target=*/false);
  const int64_t holds = session.model->facts().max_length - session.model->embedding_site().virtual_tokens();
  for (const int64_t beams : {1, 2}) {
    // No end comes before 1,000 tokens, so each answer fills the model with its prompt and the virtual tokens.
    const auto answers = generate(
        session, prompts, {.max_new_tokens = 1000, .min_new_tokens = 1000, .num_beams = beams, .batch_size = 2});
    for (int64_t i = 0; i < words().size(); ++i) {
      EXPECT_EQ(answers[i].size() + prompts.encoded(i).tokens.size(), static_cast<size_t>(holds));
    }
  }
}

TEST(PackedForGeneration, WeightsAreWhereManyTokensAreAskedFor) {
  auto session = testing::toy_session("none");
  train::Feed prompts(words(), *session.model, *session.tokenizer, 0, torch::kCPU, /*with_target=*/false);
  bool is_packing = false;
  session.model->linear_sites().front()->extend([&](const torch::Tensor& x, const Linear::Map& next) {
    is_packing = PackedWeights::current() != nullptr;
    return next(x);
  });
  generate(session, prompts, {.max_new_tokens = 16, .batch_size = 2});  // two batches
  EXPECT_TRUE(is_packing);
  EXPECT_EQ(PackedWeights::current(), nullptr);
  generate(session, prompts, {.max_new_tokens = 16, .batch_size = 3});
  EXPECT_FALSE(is_packing);
}

TEST(Sampling, DoesNotDependOnTheBatch) {
  auto session = testing::toy_session("none");
  train::Feed prompts(words(), *session.model, *session.tokenizer, 0, torch::kCPU, /*with_target=*/false);
  const auto sampled = [&](int64_t batch, uint64_t seed) {
    return generate(session, prompts, {.max_new_tokens = 12, .sample = true, .batch_size = batch, .seed = seed});
  };
  EXPECT_EQ(sampled(1, 0), sampled(3, 0));
  EXPECT_NE(sampled(3, 0), sampled(3, 1));
}

TEST(GenerationOptions, ThatMeanNothingAreRefused) {
  auto session = testing::toy_session("none");
  train::Feed prompts(words(), *session.model, *session.tokenizer, 0, torch::kCPU, /*with_target=*/false);
  EXPECT_THROW(generate(session, prompts, {.sample = true, .num_beams = 2}), ConfigError);
  EXPECT_THROW(generate(session, prompts, {.num_beams = 0}), ConfigError);
  EXPECT_THROW(generate(session, prompts, {.max_new_tokens = 2, .min_new_tokens = 3}), ConfigError);
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
  EXPECT_NEAR(ModelJudge(session, words(), {.batch_size = 32}).loss().value, all.value, 1e-6)
      << "neighbours do not matter";
}

TEST(TextJudge, HasNoLikelihoods) {
  TextJudge judge({"a"}, {{"a"}});
  EXPECT_THROW(judge.likelihoods({{0, "a"}}), UnsupportedError);
}

}  // namespace
}  // namespace peftlab::evaluate
