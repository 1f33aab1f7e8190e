/// %CLASS% against its formula, done by hand. `peftlab plugins check` tries what every metric must do.

#include <peftlab/testing/judged.h>

#include <gtest/gtest.h>

namespace peftlab {
namespace {

TEST(%CLASS%, IsTheShareOfAnswersThatAreAsLong) {
  testing::ToyJudged judged({"one two", "one", "one two three"}, {{"a b"}, {"a b c"}, {"a", "a b c"}});
  // The first and the third (by its second reference) are as long: two of three.
  const Score score = testing::make_metric("%NAME%")->compute(judged).front();
  EXPECT_DOUBLE_EQ(score.value, 2.0 / 3.0);
  EXPECT_EQ(score.per_item, (std::vector<double>{1.0, 0.0, 1.0}));
}

TEST(%CLASS%, MayBeLongerByItsTolerance) {
  testing::ToyJudged judged({"one two", "one"}, {{"a b c"}, {"a b c"}});
  EXPECT_DOUBLE_EQ(testing::make_metric("%NAME%", {{"tolerance", 1}})->compute(judged).front().value, 0.5);
}

}  // namespace
}  // namespace peftlab
