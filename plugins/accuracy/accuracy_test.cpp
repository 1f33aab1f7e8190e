/// Accuracy by hand, and against scikit-learn (tests/oracle/metrics).

#include "../../tests/oracle/metrics/cases.h"

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

namespace peftlab {
namespace {

TEST(Accuracy, CountsRightClasses) {
  // Right; right but for white space at the ends; wrong in case; wrong.
  testing::ToyJudged judged({"good", " good\n", "Good", "bad"}, {{"good"}, {"good\t"}, {"good"}, {"good"}});
  const auto scores = testing::make_metric("accuracy")->compute(judged);
  ASSERT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores[0].name, "accuracy");
  EXPECT_EQ(scores[0].value, 0.5);
  EXPECT_EQ(scores[0].per_item, (std::vector<double>{1, 1, 0, 0}));
  EXPECT_EQ(scores[0].n_items, 4);
  EXPECT_TRUE(scores[0].higher_is_better);
}

TEST(Accuracy, EveryReferenceIsRightAndAMissingOneIsNone) {
  testing::ToyJudged judged({"2", ""}, {{"1", "2"}, {std::nullopt, "0"}});
  EXPECT_EQ(testing::make_metric("accuracy")->compute(judged)[0].per_item, (std::vector<double>{1, 0}));
}

TEST(Accuracy, IsThatOfScikitLearn) {
  int cases = 0;
  for (const auto& test : oracle::metric_cases("classes")) {
    testing::ToyJudged judged(oracle::texts(test.at("predictions")), oracle::single(test.at("references")));
    EXPECT_DOUBLE_EQ(testing::make_metric("accuracy")->compute(judged)[0].value, test.at("accuracy")) << test["name"];
    ++cases;
  }
  EXPECT_GE(cases, 10);
}

TEST(Accuracy, NeedsAReferenceForEveryExample) {
  testing::ToyJudged judged({"a", "b"}, {{"a"}, {std::nullopt}});
  try {
    testing::make_metric("accuracy")->compute(judged);
    FAIL() << "no exception";
  } catch (const FormatError& e) {
    EXPECT_STREQ(e.what(), "accuracy: example 2 has no reference; every one needs at least one");
  }
}

TEST(Accuracy, TakesNoOptions) { EXPECT_THROW(testing::make_metric("accuracy", {{"top", 5}}), ConfigError); }

}  // namespace
}  // namespace peftlab
