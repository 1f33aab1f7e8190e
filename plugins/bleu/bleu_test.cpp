/// The plugin around the score: options, signature, refusals. The numbers themselves are in score_test.cpp.

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

namespace peftlab {
namespace {

Score bleu_of(testing::ToyJudged judged, const Table& options = {}) {
  const auto scores = testing::make_metric("bleu", options)->compute(judged);
  EXPECT_EQ(scores.size(), 1u);
  return scores.at(0);
}

TEST(BleuPlugin, ScoresOneCorpusNotTheMeanOfItsSentences) {
  // The first output is all right and the second all wrong: of 8 words 4 are right, of 6 pairs 3, of 4 triples 2, of 2
  // fours 1. That is one half throughout.
  const Score score = bleu_of({{"a b c d", "x x x x"}, {{"a b c d"}, {"e f g h"}}});
  EXPECT_EQ(score.name, "bleu");
  EXPECT_NEAR(score.value, 50.0, 1e-12);
  EXPECT_EQ(score.n_items, 2);
  EXPECT_TRUE(score.higher_is_better);
  EXPECT_EQ(score.detail, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0");
}

TEST(BleuPlugin, OptionsReachTheScore) {
  const testing::ToyJudged judged({"A B"}, {{"a b", std::nullopt}});
  EXPECT_EQ(bleu_of(judged).value, 0.0);
  // Two words and one pair, all right once case is ignored and orders 3 and 4 are left out.
  const Score score = bleu_of(judged, {{"lowercase", true}, {"effective_order", true}, {"tokenize", "none"},
                                       {"smooth", "floor"}, {"smooth_value", 0.25}});
  EXPECT_NEAR(score.value, 100.0, 1e-12);
  EXPECT_EQ(score.detail, "nrefs:1|case:lc|eff:yes|tok:none|smooth:floor[0.25]|version:2.6.0");
}

TEST(BleuPlugin, RefusesWhatItDoesNotKnow) {
  for (const Table& options : {Table{{"tokenize", "13b"}}, Table{{"smooth", "add_k"}}, Table{{"tokeniser", "13a"}},
                               Table{{"smooth_value", 0.1}}, Table{{"smooth", "floor"}, {"smooth_value", -1.0}}}) {
    EXPECT_THROW(testing::make_metric("bleu", options), ConfigError) << to_json(options);
  }
}

TEST(BleuPlugin, AnExampleWithoutReferenceIsNamed) {
  try {
    bleu_of({{"a", "b"}, {{"a"}, {std::nullopt}}});
    FAIL() << "no exception";
  } catch (const FormatError& e) {
    EXPECT_STREQ(e.what(), "bleu: example 2 has no reference; every one needs at least one");
  }
}

}  // namespace
}  // namespace peftlab
