/// Perplexity by hand.

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

#include <cmath>

namespace peftlab {
namespace {

TEST(Perplexity, OfAModelThatWaversBetweenEightTokens) {
  testing::ToyJudged judged({"", ""}, {{"a"}, {"b"}});
  judged.set_mean_loss(std::log(8.0));
  const auto scores = testing::make_metric("perplexity")->compute(judged);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].name, "perplexity");
  EXPECT_NEAR(scores[0].value, 8.0, 1e-14);
  EXPECT_EQ(scores[0].n_items, 2);
  EXPECT_FALSE(scores[0].higher_is_better);
}

TEST(Perplexity, NeedsAModel) {
  testing::ToyJudged judged({"a"}, {{"a"}});
  EXPECT_THROW(testing::make_metric("perplexity")->compute(judged), UnsupportedError);
}

TEST(Perplexity, TakesNoOptions) { EXPECT_THROW(testing::make_metric("perplexity", {{"base", 2}}), ConfigError); }

}  // namespace
}  // namespace peftlab
