/// Matthews' correlation by hand, and against scikit-learn (tests/oracle/metrics).

#include "../../tests/oracle/metrics/cases.h"

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

#include <cmath>

namespace peftlab {
namespace {

Score matthews_of(testing::ToyJudged judged) {
  const auto scores = testing::make_metric("matthews")->compute(judged);
  EXPECT_EQ(scores.size(), 1u);
  return scores.at(0);
}

TEST(Matthews, ByHand) {
  // Of two classes (TP TN - FP FN) / sqrt((TP + FP)(TP + FN)(TN + FP)(TN + FN)), with TP 3, TN 1, FP 2, FN 1.
  const Score score =
      matthews_of({{"y", "y", "y", "n", "n", "y", "y"}, {{"y"}, {"y "}, {"y"}, {"n"}, {"y"}, {"n"}, {"n"}}});
  EXPECT_EQ(score.name, "matthews");
  EXPECT_NEAR(score.value, (3.0 * 1 - 2 * 1) / std::sqrt(5.0 * 4 * 3 * 2), 1e-15);
  EXPECT_EQ(score.n_items, 7);
  EXPECT_TRUE(score.higher_is_better);
}

TEST(Matthews, IsZeroWhereItIsUndefined) {
  EXPECT_EQ(matthews_of({{"a", "a"}, {{"a"}, {"b"}}}).value, 0.0);
  EXPECT_EQ(matthews_of({{"a", "a"}, {{"a"}, {"a"}}}).value, 0.0);
}

TEST(Matthews, IsThatOfScikitLearn) {
  int cases = 0;
  for (const auto& test : oracle::metric_cases("classes")) {
    const testing::ToyJudged judged(oracle::texts(test.at("predictions")), oracle::single(test.at("references")));
    EXPECT_NEAR(matthews_of(judged).value, test.at("matthews").get<double>(), 1e-12) << test["name"];
    ++cases;
  }
  EXPECT_GE(cases, 10);
}

TEST(Matthews, NeedsOneClassForEveryExample) {
  EXPECT_THROW(matthews_of({{"a"}, {{std::nullopt}}}), FormatError);
  EXPECT_THROW(matthews_of({{"a"}, {{"a", "b"}}}), FormatError);
  EXPECT_THROW(testing::make_metric("matthews", {{"average", "macro"}}), ConfigError);
}

}  // namespace
}  // namespace peftlab
