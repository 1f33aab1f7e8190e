/// The tests beside scipy's and statsmodels' numbers (tests/oracle/statistics), and by hand.

#include "statistics/tests.h"

#include <peftlab/value.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <numeric>
#include <stdexcept>

namespace peftlab::statistics {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::Pointwise;

Value read_numbers() {
  const char* root = std::getenv("PEFTLAB_SOURCE_DIR");
  if (root == nullptr) throw std::runtime_error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
  const std::string path = std::string(root) + "/tests/oracle/statistics/numbers.json";
  std::ifstream file(path);
  return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), path);
}

const List& cases(const std::string& test) {
  static const Value numbers = read_numbers();
  return *numbers.find(test)->get_if<List>();
}

double number(const Value& value) {
  const auto* whole = value.get_if<int64_t>();
  return whole ? static_cast<double>(*whole) : *value.get_if<double>();
}
double number(const Value& entry, const std::string& key) { return number(*entry.find(key)); }

std::vector<double> list(const Value& entry, const std::string& key) {
  std::vector<double> result;
  for (const Value& value : *entry.find(key)->get_if<List>()) result.push_back(number(value));
  return result;
}

void expect_close(double found, double wanted) { EXPECT_NEAR(found, wanted, 1e-9 * std::max(1.0, std::abs(wanted))); }

Sample sample_of(const std::vector<double>& numbers) {
  Sample sample{static_cast<int64_t>(numbers.size())};
  for (const double x : numbers) sample.mean += x / static_cast<double>(sample.n);
  for (const double x : numbers) sample.sd += (x - sample.mean) * (x - sample.mean) / static_cast<double>(sample.n - 1);
  sample.sd = std::sqrt(sample.sd);
  return sample;
}

TEST(WelchsTest, IsScipys) {
  ASSERT_EQ(cases("welch").size(), 8u);
  for (const Value& entry : cases("welch")) {
    const Welch found = welch(sample_of(list(entry, "first")), sample_of(list(entry, "second")));
    expect_close(found.p, number(entry, "p"));
    expect_close(found.ci95_low, number(entry, "low"));
    expect_close(found.ci95_high, number(entry, "high"));
  }
}

TEST(WelchsTest, WithoutAnySpreadADifferenceIsCertain) {
  EXPECT_EQ(welch({3, 0.5, 0.0}, {2, 0.5, 0.0}).p, 1.0);
  EXPECT_EQ(welch({3, 0.5, 0.0}, {2, 0.25, 0.0}).p, 0.0);
  EXPECT_EQ(welch({3, 0.5, 0.0}, {2, 0.25, 0.0}).ci95_high, 0.25);
}

TEST(PairedTTest, IsScipys) {
  ASSERT_EQ(cases("paired_t").size(), 12u);
  for (const Value& entry : cases("paired_t")) {
    const auto differences = list(entry, "differences");
    const auto n = static_cast<double>(differences.size());
    const double mean = std::accumulate(differences.begin(), differences.end(), 0.0) / n;
    expect_close(p_of_mean(mean, number(entry, "sd"), static_cast<int64_t>(n)), number(entry, "p"));
  }
}

TEST(PairedTTest, OfTheSameNumbersIsCertain) {
  EXPECT_EQ(p_of_mean(0.5, 0, 2), 0.0);
  EXPECT_EQ(p_of_mean(0, 0, 2), 1.0);
}

TEST(HolmTest, IsStatsmodels) {
  ASSERT_EQ(cases("holm").size(), 4u);
  for (const Value& entry : cases("holm")) {
    EXPECT_THAT(holm(list(entry, "p")), Pointwise(DoubleNear(1e-12), list(entry, "adjusted")));
  }
}

TEST(HolmTest, ByHand) {
  // .01 times 3; .04 times 2; .03 is not below what .01 became; and nothing is above 1.
  EXPECT_THAT(holm({0.04, 0.01, 0.03}), ElementsAre(DoubleNear(0.06, 1e-12), 0.03, DoubleNear(0.06, 1e-12)));
  EXPECT_THAT(holm({0.6, 0.7}), ElementsAre(1.0, 1.0));
  EXPECT_TRUE(holm({}).empty());
}

TEST(McNemarTest, IsStatsmodels) {
  ASSERT_EQ(cases("mcnemar").size(), 6u);
  for (const Value& entry : cases("mcnemar")) {
    const auto first = static_cast<int64_t>(number(entry, "first")),
               second = static_cast<int64_t>(number(entry, "second"));
    expect_close(mcnemar(first, second), number(entry, "p"));
    expect_close(mcnemar(second, first), number(entry, "p"));
  }
  EXPECT_DOUBLE_EQ(mcnemar(1, 4), 2 * (1 + 5) / 32.0);
}

TEST(PairedBootstrapTest, IntervalsAreScipys) {
  ASSERT_EQ(cases("bootstrap").size(), 3u);
  for (const Value& entry : cases("bootstrap")) {
    const auto found = paired_bootstrap(list(entry, "differences"), 50000);
    const double low = number(entry, "low"), high = number(entry, "high");
    // Both are random; of 50,000 resamples an end is known to about a hundredth of the interval.
    EXPECT_NEAR(found->ci95_low, low, 0.015 * (high - low));
    EXPECT_NEAR(found->ci95_high, high, 0.015 * (high - low));
  }
}

TEST(PairedBootstrapTest, SaysHowRareTheOtherSignIs) {
  std::vector<double> better(100, 0.01);
  for (int i = 0; i < 5; ++i) better[i] = -0.01;
  EXPECT_LT(paired_bootstrap(better)->p, 0.001);
  // No resample lies on the other side: the least p there is.
  EXPECT_DOUBLE_EQ(paired_bootstrap({1.0, 1.0}, 999)->p, 2.0 / 1000.0);
  EXPECT_EQ(paired_bootstrap({0.0, 0.0})->p, 1.0);
  // Of two, -1 and 1, a half of the resamples is 0, which counts for both signs.
  EXPECT_EQ(paired_bootstrap({-1.0, 1.0})->p, 1.0);
  EXPECT_FALSE(paired_bootstrap({1.0}));
  EXPECT_THROW(paired_bootstrap({1.0, std::numeric_limits<double>::infinity()}), std::domain_error);
}

TEST(PairedBootstrapTest, IsTheSameForTheSameSeed) {
  const auto differences = list(cases("bootstrap")[1], "differences");
  const auto one = paired_bootstrap(differences, 1000, 7), same = paired_bootstrap(differences, 1000, 7);
  EXPECT_EQ(one->ci95_low, same->ci95_low);
  EXPECT_EQ(one->p, same->p);
  EXPECT_NE(one->ci95_low, paired_bootstrap(differences, 1000, 8)->ci95_low);
}

TEST(ParetoFrontTest, IsWhatNoOtherBeats) {
  // The second costs more for no more; the third is worse than that; the fourth is the first again; the last is dear and
  // good.
  EXPECT_THAT(pareto_front({{1, 5}, {2, 5}, {2, 4}, {1, 5}, {9, 6}}), ElementsAre(true, false, false, true, true));
  EXPECT_THAT(pareto_front({{1, 1}}), ElementsAre(true));
}

}  // namespace
}  // namespace peftlab::statistics
