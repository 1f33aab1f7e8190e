/// Matching accuracy with likelihoods that are written down, and the draw of wrong captions.

#include "drawing.h"

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

#include <cmath>
#include <limits>
#include <map>
#include <set>

namespace peftlab {
namespace {

using testing::ToyJudged;

/// A split of `n` examples with the captions "0", "1", ...
ToyJudged numbered(int n, ToyJudged::Likely likely) {
  ToyJudged::References references;
  for (int i = 0; i < n; ++i) references.push_back({std::to_string(i)});
  return ToyJudged(std::vector<std::string>(references.size()), references, std::move(likely));
}

std::map<std::string, Score> scores_of(ToyJudged& judged, const Table& options = {}) {
  std::map<std::string, Score> result;
  for (const Score& score : testing::make_metric("matching_accuracy", options)->compute(judged)) {
    result[score.name] = score;
  }
  return result;
}

/// The captions that example `i` was asked about, in order.
std::vector<std::string> asked_of(const ToyJudged& judged, int64_t i) {
  std::vector<std::string> texts;
  for (const Candidate& c : judged.asked()) {
    if (c.example == i) texts.push_back(c.text);
  }
  return texts;
}

TEST(Draw, IsSplitMix64) {
  // The first numbers from state 0, as the authors' splitmix64.c prints them.
  matching::SplitMix64 random(0);
  EXPECT_EQ(random.next(), 0xE220A8397B1DCDAFu);
  EXPECT_EQ(random.next(), 0x6E789E6AA1B965F4u);
  EXPECT_EQ(random.next(), 0x06C45D188009454Fu);
}

TEST(Draw, StaysWhatItIs) {
  // Stored results depend on these; a few lines of Python that follow drawing.h's words give the same.
  std::vector<int> items = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  matching::draw(items, 4, /*seed=*/0, /*index=*/3);
  EXPECT_EQ(items, (std::vector<int>{2, 6, 8, 0}));
}

TEST(Draw, TakesEachAlikeOften) {
  // 6,000 draws of 2 of 6: each item 2,000 times, within 5 standard deviations (5 * sqrt(6000 * 1/3 * 2/3) = 183).
  std::map<int, int> times;
  for (uint64_t i = 0; i < 6000; ++i) {
    std::vector<int> items = {0, 1, 2, 3, 4, 5};
    matching::draw(items, 2, 7, i);
    ASSERT_NE(items[0], items[1]);
    for (const int item : items) ++times[item];
  }
  for (int item = 0; item < 6; ++item) EXPECT_NEAR(times[item], 2000, 183) << item;
}

TEST(MatchingAccuracy, ARankByHand) {
  // Captions "0" .. "39"; every example holds low numbers for likelier. Among all 40, example i has i captions ahead:
  // the first 1, 5 and 10 examples are found at 1, 5 and 10.
  auto judged = numbered(40, [](const Candidate& c) { return Likelihood{-std::stod(c.text), 1}; });
  auto scores = scores_of(judged, {{"pool", 0}});
  EXPECT_DOUBLE_EQ(scores.at("retrieval_r1").value, 1.0 / 40);
  EXPECT_DOUBLE_EQ(scores.at("retrieval_r5").value, 5.0 / 40);
  EXPECT_DOUBLE_EQ(scores.at("retrieval_r10").value, 10.0 / 40);
  EXPECT_EQ(scores.at("retrieval_r5").per_item[4], 1.0);
  EXPECT_EQ(scores.at("retrieval_r5").per_item[5], 0.0);
  EXPECT_EQ(scores.at("matching_accuracy").n_items, 40);
  EXPECT_EQ(judged.asked().size(), 40u * 40u);
}

TEST(MatchingAccuracy, TheChoiceIsAmongTheFirstOfThePool) {
  // The right caption loses to the fourth wrong one only: first among 4, second among 32.
  std::map<int64_t, int> seen;
  auto judged = numbered(40, [&seen](const Candidate& c) {
    const int place = seen[c.example]++;
    return Likelihood{place == 0 ? -2.0 : place == 4 ? -1.0 : -3.0, 1};
  });
  const auto scores = scores_of(judged);
  EXPECT_EQ(scores.at("matching_accuracy").value, 1.0);
  EXPECT_EQ(scores.at("retrieval_r1").value, 0.0);
  EXPECT_EQ(scores.at("retrieval_r5").value, 1.0);
  EXPECT_EQ(judged.asked().size(), 40u * 32u);
}

TEST(MatchingAccuracy, TiesCountAgainstTheModel) {
  for (const double tied : {-1.0, -std::numeric_limits<double>::infinity()}) {
    auto judged = numbered(40, [tied](const Candidate&) { return Likelihood{tied, 1}; });
    for (const auto& [name, score] : scores_of(judged)) EXPECT_EQ(score.value, 0.0) << name;
  }
}

TEST(MatchingAccuracy, WrongCaptionsAreDistinctAndNeverRight) {
  // Three examples share caption "a"; the last has two references, neither of which may be wrong for it.
  const ToyJudged::References references = {{"a"}, {"b"}, {"a"}, {"c"}, {"a"}, {std::nullopt, "d", "b"}};
  ToyJudged judged(std::vector<std::string>(6), references, [](const Candidate&) { return Likelihood{-1.0, 1}; });
  scores_of(judged, {{"pool", 0}});
  const std::vector<std::multiset<std::string>> want = {{"b", "c", "d"}, {"a", "c", "d"}, {"b", "c", "d"},
                                                        {"a", "b", "d"}, {"b", "c", "d"}, {"a", "c"}};
  for (int64_t i = 0; i < 6; ++i) {
    const auto asked = asked_of(judged, i);
    EXPECT_EQ(asked.at(0), i == 5 ? "d" : *references[static_cast<size_t>(i)][0]);
    EXPECT_EQ(std::multiset<std::string>(asked.begin() + 1, asked.end()), want[static_cast<size_t>(i)]) << i;
  }
}

TEST(MatchingAccuracy, TheDrawKnowsSeedAndPlaceOnly) {
  const auto likely = [](const Candidate&) { return Likelihood{-1.0, 1}; };
  const auto other = [](const Candidate& c) { return Likelihood{-2.0 * static_cast<double>(c.text.size()), 3}; };
  auto first = numbered(50, likely), again = numbered(50, other);
  auto seeded = numbered(50, likely), few = numbered(50, likely);
  scores_of(first);
  scores_of(again);
  scores_of(seeded, {{"seed", 1}});
  scores_of(few, {{"pool", 4}});
  EXPECT_EQ(asked_of(first, 7), asked_of(again, 7));
  EXPECT_NE(asked_of(first, 7), asked_of(seeded, 7));
  auto start = asked_of(first, 7);
  start.resize(4);
  EXPECT_EQ(start, asked_of(few, 7));
}

TEST(MatchingAccuracy, SumOrMean) {
  // Right: 4 tokens of -1 each. Wrong: 1 token of -2. The sum prefers the wrong one, the mean the right one.
  const ToyJudged::References references = {{"right"}, {"wrong"}};
  const auto likely = [](const Candidate& c) { return c.text == "right" ? Likelihood{-4.0, 4} : Likelihood{-2.0, 1}; };
  ToyJudged sum({"", ""}, references, likely), mean({"", ""}, references, likely);
  EXPECT_EQ(scores_of(sum).at("matching_accuracy").per_item, (std::vector<double>{0, 1}));
  EXPECT_EQ(scores_of(mean, {{"normalize", "mean"}}).at("matching_accuracy").per_item, (std::vector<double>{1, 0}));
}

TEST(MatchingAccuracy, AShortSplitIsNamedAndShowsNoEmptyFigure) {
  auto judged = numbered(3, [](const Candidate&) { return Likelihood{-1.0, 1}; });
  const auto scores = scores_of(judged);
  EXPECT_EQ(scores.at("matching_accuracy").detail,
            "right caption among 3 (4 asked), by the sum of log-likelihoods, ties lost; wrong ones drawn from 3 "
            "distinct captions with seed 0");
  EXPECT_TRUE(scores.at("retrieval_r1").detail.starts_with("right caption in the first 1 of 3 (32 asked), "));
  EXPECT_FALSE(scores.contains("retrieval_r5"));
}

TEST(MatchingAccuracy, Refusals) {
  const auto likely = [](const Candidate&) { return Likelihood{-1.0, 1}; };
  ToyJudged same({"", ""}, {{"a"}, {"a"}}, likely);
  EXPECT_THROW(scores_of(same), ConfigError);
  ToyJudged none({"", ""}, {{"a"}, {std::nullopt}}, likely);
  EXPECT_THROW(scores_of(none), FormatError);
  auto no_model = numbered(3, nullptr);
  EXPECT_THROW(scores_of(no_model), UnsupportedError);
  auto broken = numbered(3, [](const Candidate&) { return Likelihood{std::nan(""), 1}; });
  EXPECT_THROW(scores_of(broken), TrainError);
  for (const Table& options : {Table{{"candidates", 1}}, Table{{"pool", 3}}, Table{{"normalize", "max"}}}) {
    EXPECT_THROW(testing::make_metric("matching_accuracy", options), ConfigError) << to_json(options);
  }
}

}  // namespace
}  // namespace peftlab
