/// Means, intervals and verdicts, against numbers done by hand.

#include "store/statistics.h"
#include "store/test_store.h"

#include <gmock/gmock.h>

#include <cmath>

namespace peftlab::store {
namespace {

using ::testing::ElementsAre;
using testing::StoreTest;

/// With two degrees of freedom the distribution function can be inverted: t = (2p - 1) sqrt(2 / (1 - (2p - 1)^2)).
const double kT2 = 0.95 * std::sqrt(2.0 / (1.0 - 0.95 * 0.95));

TEST(TQuantile, KnownValues) {
  EXPECT_NEAR(t_quantile_975(1), std::tan(M_PI * 0.475), 1e-9);  // the Cauchy distribution
  EXPECT_NEAR(t_quantile_975(2), kT2, 1e-12);
  EXPECT_NEAR(t_quantile_975(10), 2.2281388519649385, 1e-9);
  EXPECT_NEAR(t_quantile_975(1000), 1.9623390808264078, 1e-9);
  EXPECT_NEAR(t_quantile_975(1001), 1.959963984540054, 1e-12);
  EXPECT_EQ(t_quantile_975(1'000'000), t_quantile_975(1001));
}

TEST_F(StoreTest, CompareGivesMeanSpreadAndInterval) {
  const Id lora = begin({"lora"}).at("lora");
  finish(lora, 0, 1.0);
  EXPECT_EQ(store_.compare("e").at(0).n, 1);
  EXPECT_EQ(store_.compare("e").at(0).sd, std::nullopt);
  EXPECT_EQ(store_.compare("e").at(0).ci95_low, std::nullopt);
  finish(lora, 1, 2.0);
  finish(lora, 2, 6.0);
  const CompareRow row = store_.compare("e").at(0);
  // Deviations from 3: -2, -1, 3; their squares sum to 14; sd = sqrt(14 / 2); half = sd / sqrt(3) * t(2).
  const double half = std::sqrt(7.0) / std::sqrt(3.0) * kT2;
  EXPECT_EQ(row.n, 3);
  EXPECT_DOUBLE_EQ(row.mean, 3.0);
  EXPECT_DOUBLE_EQ(*row.sd, std::sqrt(7.0));
  EXPECT_NEAR(*row.ci95_low, 3.0 - half, 1e-12);
  EXPECT_NEAR(*row.ci95_high, 3.0 + half, 1e-12);
  const Rows view = query(path(), "SELECT experiment, label, metric, split, n, mean FROM v_compare");
  EXPECT_THAT(view.rows, ElementsAre(ElementsAre(Cell("e"), Cell("lora"), Cell("accuracy"), Cell("test"),
                                                 Cell(int64_t{3}), Cell(3.0))));
}

TEST_F(StoreTest, OnlyTheNewestFinishedAttemptCounts) {
  const Id lora = begin({"lora"}).at("lora");
  finish(lora, 0, 0.1);
  finish(lora, 0, 0.2);
  const std::string failed = start(lora, 0);
  store_.put_scores(failed, std::vector<Score>{{"accuracy", "test", 0.9, 10, true}});
  store_.fail_run(failed, "diverged", "");
  ASSERT_EQ(store_.compare("e").size(), 1u);
  EXPECT_EQ(store_.compare("e")[0].n, 1);
  EXPECT_EQ(store_.compare("e")[0].mean, 0.2);
  const Rows view = query(path(), "SELECT experiment, label, seed, metric, split, value, n_items FROM v_score");
  EXPECT_THAT(view.rows, ElementsAre(ElementsAre(Cell("e"), Cell("lora"), Cell(int64_t{0}), Cell("accuracy"),
                                                 Cell("test"), Cell(0.2), Cell(int64_t{10}))));
}

/// Scores of a method and its baseline on the seeds 0, 1, ...; `higher` is the metric's direction.
class Paired : public StoreTest {
 protected:
  PairedRow compare(const std::vector<double>& base, const std::vector<double>& method, bool higher) {
    const auto ids = begin({"base", "method"});
    const auto put = [&](Id id, const std::vector<double>& values) {
      for (size_t seed = 0; seed < values.size(); ++seed) {
        finish(id, static_cast<int64_t>(seed),
               {{"m", "test", values[seed], 10, higher}, {"m", "validation", -values[seed], 10, higher}});
      }
    };
    put(ids.at("base"), base);
    put(ids.at("method"), method);
    const std::vector<PairedRow> rows = store_.paired("e");
    EXPECT_EQ(rows.size(), 1u);
    return rows.at(0);
  }
};

TEST_F(Paired, BetterSeedBySeedWhereTheMeansOverlap) {
  // The seeds differ by 10 and the methods by 1: only pairing sees it. Differences 1.0, 1.5, 0.5.
  const PairedRow row = compare({10, 20, 30}, {11, 21.5, 30.5}, true);
  const double half = 0.5 / std::sqrt(3.0) * kT2;
  EXPECT_EQ(row.label, "method");
  EXPECT_EQ(row.baseline, "base");
  EXPECT_EQ(row.n, 3);
  EXPECT_DOUBLE_EQ(*row.mean_difference, 1.0);
  EXPECT_NEAR(*row.ci95_low, 1.0 - half, 1e-12);
  EXPECT_NEAR(*row.ci95_high, 1.0 + half, 1e-12);
  EXPECT_EQ(row.verdict, "no clear difference");  // half is 1.24
}

TEST_F(Paired, Better) {
  EXPECT_EQ(compare({10, 20, 30}, {11, 21.1, 30.9}, true).verdict, "better");
}
TEST_F(Paired, Worse) {
  EXPECT_EQ(compare({11, 21.1, 30.9}, {10, 20, 30}, true).verdict, "worse");
}
TEST_F(Paired, TheDirectionDecides) {
  EXPECT_EQ(compare({10, 20, 30}, {11, 21.1, 30.9}, false).verdict, "worse");
}
TEST_F(Paired, LowerIsBetter) {
  EXPECT_EQ(compare({11, 21.1, 30.9}, {10, 20, 30}, false).verdict, "better");
}
TEST_F(Paired, EqualScores) {
  const PairedRow row = compare({1, 2}, {1, 2}, true);
  EXPECT_EQ(row.mean_difference, 0.0);
  EXPECT_EQ(row.verdict, "no clear difference");
}
TEST_F(Paired, OneSeedIsTooFew) {
  const PairedRow row = compare({1}, {2}, true);
  EXPECT_EQ(row.n, 1);
  EXPECT_EQ(row.mean_difference, 1.0);
  EXPECT_EQ(row.ci95_low, std::nullopt);
  EXPECT_EQ(row.verdict, "too few seeds");
}
TEST_F(Paired, OnlySeedsOfBothCount) {
  EXPECT_EQ(compare({1, 2, 3}, {2, 3}, true).n, 2);
}
TEST_F(Paired, NoSeedInCommon) {
  const PairedRow row = compare({}, {2, 3}, true);
  EXPECT_EQ(row.n, 0);
  EXPECT_EQ(row.mean_difference, std::nullopt);
  EXPECT_EQ(row.verdict, "too few seeds");
}

TEST_F(StoreTest, ExperimentsAreKeptApart) {
  // The same labels, seeds and metric: lora less full is 1 and 2 in "e", -4 and -4 in "f".
  const auto put = [&](const std::string& name, const std::vector<double>& full, const std::vector<double>& lora) {
    const auto ids = begin({"full", "lora"}, "accuracy", name);
    for (const int64_t seed : {0, 1}) {
      finish(ids.at("full"), seed, full.at(static_cast<size_t>(seed)));
      finish(ids.at("lora"), seed, lora.at(static_cast<size_t>(seed)));
    }
  };
  put("e", {1, 2}, {2, 4});
  put("f", {5, 6}, {1, 2});
  const Rows means = query(path(), "SELECT experiment, label, n, mean FROM v_compare ORDER BY experiment, label");
  const Cell two = int64_t{2};
  EXPECT_THAT(means.rows, ElementsAre(ElementsAre(Cell("e"), Cell("full"), two, Cell(1.5)),
                                      ElementsAre(Cell("e"), Cell("lora"), two, Cell(3.0)),
                                      ElementsAre(Cell("f"), Cell("full"), two, Cell(5.5)),
                                      ElementsAre(Cell("f"), Cell("lora"), two, Cell(1.5))));
  const Rows pairs = query(path(), "SELECT experiment, n, mean_difference FROM v_paired ORDER BY experiment");
  EXPECT_THAT(pairs.rows, ElementsAre(ElementsAre(Cell("e"), two, Cell(1.5)), ElementsAre(Cell("f"), two, Cell(-4.0))));
  EXPECT_EQ(store_.compare("f").size(), 2u);
  EXPECT_EQ(store_.paired("f").at(0).mean_difference, -4.0);
}

TEST_F(StoreTest, AMetricKeepsItsDirection) {
  const Id lora = begin({"lora"}).at("lora");
  finish(lora, 0, 0.5);
  const std::string run = start(lora, 1);
  EXPECT_THROW(store_.put_scores(run, std::vector<Score>{{"accuracy", "test", 0.5, 10, false}}), StoreError);
}

}  // namespace
}  // namespace peftlab::store
