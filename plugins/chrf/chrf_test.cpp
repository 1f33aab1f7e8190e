/// chrF by hand, and against sacreBLEU 2.6.0, bit for bit (tests/oracle/metrics).

#include "../../tests/oracle/metrics/cases.h"

#include <gtest/gtest.h>
#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

namespace peftlab {
namespace {

Score chrf_of(testing::ToyJudged judged, const Table& options = {}) {
  const auto scores = testing::make_metric("chrf", options)->compute(judged);
  EXPECT_EQ(scores.size(), 1u);
  return scores.at(0);
}

TEST(Chrf, ByHand) {
  // abc | abd: of 3 characters 2 are right, of 2 pairs 1, of 1 triple none, in both directions; orders 4 to 6 are too
  // long to count. Precision and recall are both (2/3 + 1/2 + 0) / 3 = 7/18, and so is their F.
  const Score score = chrf_of({{"abc"}, {{"abd"}}});
  EXPECT_EQ(score.name, "chrf");
  EXPECT_NEAR(score.value, 100.0 * 7 / 18, 1e-12);
  EXPECT_EQ(score.n_items, 1);
  EXPECT_TRUE(score.higher_is_better);
  EXPECT_EQ(score.detail, "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0");
  // ab | abab, characters alone: precision 1, recall 1/2, F with beta 2: 5 * 1 * 1/2 / (4 * 1 + 1/2) = 5/9.
  EXPECT_NEAR(chrf_of({{"ab"}, {{"abab"}}}, {{"char_order", 1}}).value, 100.0 * 5 / 9, 1e-12);
}

TEST(Chrf, TakesTheReferenceItScoresHighestWith) {
  EXPECT_NEAR(chrf_of({{"abc", "x"}, {{"zzz", std::nullopt, "abc"}, {"x"}}}).value, 100.0, 1e-12);
}

TEST(Chrf, IsThatOfSacrebleuToTheLastBit) {
  int cases = 0;
  for (const auto& test : oracle::metric_cases("chrf")) {
    const testing::ToyJudged judged(oracle::texts(test.at("predictions")), oracle::several(test.at("references")));
    for (const auto& want : test.at("scores")) {
      SCOPED_TRACE(test["name"].get<std::string>() + " " + want.at("options").dump());
      const Value options = parse_json(want.at("options").dump(), "options");
      const Score score = chrf_of(judged, *options.get_if<Table>());
      EXPECT_EQ(score.value, std::strtod(want.at("value").get<std::string>().c_str(), nullptr));
      EXPECT_EQ(score.detail, want.at("signature").get<std::string>());
      ++cases;
    }
  }
  EXPECT_EQ(cases, 14 * 10);
}

TEST(Chrf, RefusesWhatItDoesNotKnow) {
  for (const Table& options : {Table{{"char_order", -1}}, Table{{"char_order", 0}}, Table{{"word_order", 33}},
                               Table{{"beta", -1}}, Table{{"beta", 2.5}}, Table{{"lower_case", true}}}) {
    EXPECT_THROW(testing::make_metric("chrf", options), ConfigError) << to_json(options);
  }
}

TEST(Chrf, AnExampleWithoutReferenceIsNamed) {
  try {
    chrf_of({{"a", "b"}, {{"a"}, {std::nullopt}}});
    FAIL() << "no exception";
  } catch (const FormatError& e) {
    EXPECT_STREQ(e.what(), "chrf: example 2 has no reference; every one needs at least one");
  }
}

}  // namespace
}  // namespace peftlab
