/// F1 by hand, and against scikit-learn (tests/oracle/metrics).

#include "../../tests/oracle/metrics/cases.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

namespace peftlab {
namespace {

double f1_of(testing::ToyJudged judged, const Table& options) {
  const auto scores = testing::make_metric("f1", options)->compute(judged);
  EXPECT_EQ(scores.size(), 1u);
  EXPECT_EQ(scores.at(0).name, "f1");
  EXPECT_EQ(scores.at(0).n_items, judged.size());
  EXPECT_TRUE(scores.at(0).higher_is_better);
  return scores.at(0).value;
}

TEST(F1, ByHand) {
  // a: wanted 3, answered 2, right 2: 4/5. b: wanted 1, answered 2, right 1: 2/3. c: wanted 1, answered 0: 0.
  // d, which nobody wanted: answered 1: 0.
  const testing::ToyJudged judged({"a", "a ", "b", "b", "d"}, {{"a"}, {"a"}, {"a"}, {"b", std::nullopt}, {"c"}});
  EXPECT_DOUBLE_EQ(f1_of(judged, {}), (4.0 / 5 + 2.0 / 3) / 4);
  EXPECT_DOUBLE_EQ(f1_of(judged, {{"average", "weighted"}}), (3 * 4.0 / 5 + 2.0 / 3) / 5);
  EXPECT_DOUBLE_EQ(f1_of(judged, {{"average", "micro"}}), 3.0 / 5);
  EXPECT_DOUBLE_EQ(f1_of(judged, {{"average", "binary"}, {"positive", "b"}}), 2.0 / 3);
}

TEST(F1, IsThatOfScikitLearn) {
  int binary = 0;
  for (const auto& test : oracle::metric_cases("classes")) {
    SCOPED_TRACE(test["name"]);
    const testing::ToyJudged judged(oracle::texts(test.at("predictions")), oracle::single(test.at("references")));
    for (const char* average : {"macro", "micro", "weighted"}) {
      EXPECT_NEAR(f1_of(judged, {{"average", average}}), test.at("f1").at(average).get<double>(), 1e-12) << average;
    }
    if (!test.contains("positive")) continue;
    const Table options{{"average", "binary"}, {"positive", test["positive"].get<std::string>()}};
    EXPECT_NEAR(f1_of(judged, options), test.at("f1").at("binary").get<double>(), 1e-12);
    ++binary;
  }
  EXPECT_GE(binary, 3);
}

TEST(F1, RefusesWhatItDoesNotKnow) {
  for (const Table& options : {Table{{"average", "samples"}}, Table{{"average", "binary"}}, Table{{"positive", "a"}},
                               Table{{"averages", "macro"}}}) {
    EXPECT_THROW(testing::make_metric("f1", options), ConfigError) << to_json(options);
  }
}

TEST(F1, NamesAClassThatIsNotThere) {
  try {
    f1_of({{"good", "bad"}, {{"good"}, {"good"}}}, {{"average", "binary"}, {"positive", "goood"}});
    FAIL() << "no exception";
  } catch (const ConfigError& e) {
    EXPECT_THAT(e.what(),
                ::testing::HasSubstr("f1: no example has the class \"goood\" of `positive`. Did you mean \"good\"?"));
  }
}

TEST(F1, NeedsOneClassForEveryExample) {
  EXPECT_THROW(f1_of({{"a"}, {{std::nullopt}}}, {}), FormatError);
  EXPECT_THROW(f1_of({{"a"}, {{"a", "b"}}}, {}), FormatError);
}

}  // namespace
}  // namespace peftlab
