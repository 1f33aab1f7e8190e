/// ROUGE by hand, and against rouge-score 0.1.2 (tests/oracle/metrics).

#include "../../tests/oracle/metrics/cases.h"
#include "stem.h"

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

namespace peftlab {
namespace {

std::vector<Score> rouge_of(testing::ToyJudged judged, const Table& options = {}) {
  return testing::make_metric("rouge", options)->compute(judged);
}

TEST(Rouge, ByHand) {
  // The output has 6 words, the reference 4; shared are the, cat, mat (F 2 * 3 / 10), and one pair, "the cat", of 5
  // and 3 (F 2 / 8). In order, too, the longest they share is "the cat mat". The second example shares nothing.
  const auto scores = rouge_of({{"The cat sat on the mat!", "dog"}, {{"the cat, a mat"}, {"cat"}}});
  ASSERT_EQ(scores.size(), 5u);
  const std::vector<std::pair<std::string, double>> wanted = {
      {"rouge", 0.6}, {"rouge1", 0.6}, {"rouge2", 0.25}, {"rougeL", 0.6}, {"rougeLsum", 0.6}};
  for (size_t k = 0; k < wanted.size(); ++k) {
    EXPECT_EQ(scores[k].name, wanted[k].first);
    EXPECT_NEAR(scores[k].value, wanted[k].second / 2, 1e-15) << wanted[k].first;
    ASSERT_EQ(scores[k].per_item.size(), 2u);
    EXPECT_NEAR(scores[k].per_item[0], wanted[k].second, 1e-15);
    EXPECT_EQ(scores[k].per_item[1], 0.0);
    EXPECT_EQ(scores[k].n_items, 2);
    EXPECT_TRUE(scores[k].higher_is_better);
  }
}

TEST(Rouge, LinesAreSentencesToLsumOnly) {
  // Swapped lines: all words are found sentence by sentence, but only half of them in one order.
  const auto scores = rouge_of({{"a b\nc d"}, {{"c d\na b"}}});
  EXPECT_EQ(scores[3].value, 0.5);
  EXPECT_EQ(scores[4].value, 1.0);
}

TEST(Rouge, TakesTheBestReferenceOfEachKind) {
  const auto scores = rouge_of({{"a b c d"}, {{"d c b a", std::nullopt, "a b x y"}}});
  EXPECT_EQ(scores[1].value, 1.0);               // of the first
  EXPECT_NEAR(scores[2].value, 1.0 / 3, 1e-15);  // of the second: one pair of three
}

TEST(Rouge, IsThatOfRougeScore) {
  int numbers = 0;
  for (const auto& test : oracle::metric_cases("rouge")) {
    const testing::ToyJudged judged(oracle::texts(test.at("predictions")), oracle::several(test.at("references")));
    for (const bool stemmed : {false, true}) {
      SCOPED_TRACE(test["name"].get<std::string>() + (stemmed ? ", stemmed" : ""));
      const auto& wanted = test.at(stemmed ? "stemmed" : "plain");
      for (const Score& score : rouge_of(judged, {{"use_stemmer", stemmed}})) {
        const auto values = wanted.at(score.name == "rouge" ? "rougeL" : score.name).get<std::vector<double>>();
        EXPECT_EQ(score.per_item, values) << score.name;
        numbers += static_cast<int>(values.size());
      }
    }
  }
  EXPECT_GE(numbers, 1500);
}

TEST(Rouge, StemsAsNltkDoes) {
  const auto& words = oracle::metric_cases("stems");
  EXPECT_GE(words.size(), 1400u);
  for (const auto& [word, stem] : words.items()) EXPECT_EQ(rouge::stem(word), stem.get<std::string>()) << word;
}

TEST(Rouge, RefusesWhatItDoesNotKnow) {
  EXPECT_THROW(testing::make_metric("rouge", {{"use_stemer", true}}), ConfigError);
  EXPECT_THROW(testing::make_metric("rouge", {{"use_stemmer", 1}}), ConfigError);
}

TEST(Rouge, AnExampleWithoutReferenceIsNamed) {
  try {
    rouge_of({{"a", "b"}, {{"a"}, {std::nullopt}}});
    FAIL() << "no exception";
  } catch (const FormatError& e) {
    EXPECT_STREQ(e.what(), "rouge: example 2 has no reference; every one needs at least one");
  }
}

}  // namespace
}  // namespace peftlab
