/// Exact match by hand.

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

namespace peftlab {
namespace {

TEST(ExactMatch, CountsEqualTexts) {
  // Right; right but for white space at the ends; wrong in case; wrong inside; the second reference is met.
  testing::ToyJudged judged({"red cat", " red cat\n", "Red cat", "red  cat", "blue"},
                            {{"red cat"}, {"red cat\t"}, {"red cat"}, {"red cat"}, {"azure", std::nullopt, "blue"}});
  const auto scores = testing::make_metric("exact_match")->compute(judged);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].name, "exact_match");
  EXPECT_DOUBLE_EQ(scores[0].value, 3.0 / 5.0);
  EXPECT_EQ(scores[0].per_item, (std::vector<double>{1, 1, 0, 0, 1}));
  EXPECT_EQ(scores[0].n_items, 5);
  EXPECT_TRUE(scores[0].higher_is_better);
}

TEST(ExactMatch, AnEmptyOutputMatchesAnEmptyReferenceOnly) {
  testing::ToyJudged judged({"", " "}, {{"\n"}, {"a"}});
  EXPECT_EQ(testing::make_metric("exact_match")->compute(judged)[0].per_item, (std::vector<double>{1, 0}));
}

TEST(ExactMatch, NeedsAReference) {
  testing::ToyJudged judged({"a"}, {{std::nullopt}});
  EXPECT_THROW(testing::make_metric("exact_match")->compute(judged), FormatError);
}

TEST(ExactMatch, TakesNoOptions) {
  EXPECT_THROW(testing::make_metric("exact_match", {{"lowercase", true}}), ConfigError);
}

}  // namespace
}  // namespace peftlab
