#include "plan/size_search.h"

#include <gtest/gtest.h>

#include <functional>

namespace peftlab::plan {
namespace {

/// Searches where `cost` tells, and sizes above `largest` are refused; returns how many measurements it took.
int search(SizeSearch& search, const std::function<double(int64_t)>& cost, int64_t largest = SizeSearch::kLargest) {
  int n = 0;
  while (const auto size = search.next()) {
    if (++n > 100) {
      ADD_FAILURE() << "the search does not end";
      break;
    }
    EXPECT_GE(*size, 1);
    EXPECT_LE(*size, SizeSearch::kLargest);
    EXPECT_FALSE(search.costs().contains(*size)) << "measures " << *size << " twice";
    if (*size > largest) {
      search.refused(*size);
    } else {
      search.measured(*size, cost(*size));
    }
  }
  return n;
}

TEST(SizeSearch, FindsTheSizeOfLinearCostsFromAnywhere) {
  for (const int64_t first : {1, 8, 500, 100'000}) {
    for (const int64_t wanted : {1, 3, 21, 777}) {
      SizeSearch sizes(first, 3000.0 * static_cast<double>(wanted) + 500.0, 0.0);
      const int n = search(sizes, [](int64_t size) { return 3000.0 * static_cast<double>(size) + 500.0; });
      ASSERT_TRUE(sizes.best().has_value());
      EXPECT_EQ(sizes.best()->size, wanted) << "from " << first;
      EXPECT_TRUE(sizes.best()->within);
      EXPECT_LE(n, 7) << "the line between two sizes points at the third";
    }
  }
}

TEST(SizeSearch, FindsASizeThatChangesLittleOfTheCost) {
  // Memory: most of it is the model's.
  SizeSearch sizes(8, 1e6 + 500'000.0, 0.0);
  EXPECT_LE(search(sizes, [](int64_t size) { return 1e6 + 1000.0 * static_cast<double>(size); }), 7);
  EXPECT_EQ(sizes.best()->size, 500);
  SizeSearch from_above(4000, 1e6 + 20'000.0, 0.0);
  EXPECT_LE(search(from_above, [](int64_t size) { return 1e6 + 1000.0 * static_cast<double>(size); }), 7);
  EXPECT_EQ(from_above.best()->size, 20);
}

TEST(SizeSearch, ClosesInWhereCostsBend) {
  SizeSearch sizes(8, 10'000.0, 0.0);
  search(sizes, [](int64_t size) { return static_cast<double>(size * size); });
  EXPECT_EQ(sizes.best()->size, 100);
}

TEST(SizeSearch, StopsWithinTheTolerance) {
  SizeSearch sizes(8, 1000.0, 0.1);
  EXPECT_EQ(search(sizes, [](int64_t size) { return 115.0 * static_cast<double>(size); }), 1);
  EXPECT_EQ(sizes.best()->size, 8);
  EXPECT_TRUE(sizes.best()->within);
  SizeSearch strict(8, 1000.0, 0.01);
  EXPECT_GT(search(strict, [](int64_t size) { return 115.0 * static_cast<double>(size); }), 1);
  EXPECT_EQ(strict.best()->size, 9);  // 1035; 8 would be 920
  EXPECT_FALSE(strict.best()->within);
}

TEST(SizeSearch, WhereOneIsTooMuchTheSmallestIsNearest) {
  SizeSearch sizes(8, 10.0, 0.1);
  search(sizes, [](int64_t size) { return 100.0 + static_cast<double>(size); });
  EXPECT_EQ(sizes.best()->size, 1);
  EXPECT_FALSE(sizes.best()->within);
}

TEST(SizeSearch, GoesUpToWhatTheMethodTakes) {
  for (const int64_t largest : {1, 5, 16, 100}) {
    SizeSearch sizes(64, 1e6, 0.1);
    search(
        sizes, [](int64_t size) { return static_cast<double>(size); }, largest);
    ASSERT_TRUE(sizes.best().has_value()) << largest;
    EXPECT_EQ(sizes.best()->size, largest);
    EXPECT_FALSE(sizes.best()->within);
  }
  SizeSearch none(64, 10.0, 0.1);
  search(
      none, [](int64_t) { return 0.0; }, /*largest=*/0);
  EXPECT_FALSE(none.best().has_value());
}

TEST(SizeSearch, CostsThatDoNotGrowEndItToo) {
  SizeSearch flat(8, 1000.0, 0.01);
  search(flat, [](int64_t) { return 10.0; });
  EXPECT_TRUE(flat.best().has_value());
  int calls = 0;
  SizeSearch noisy(8, 1000.0, 0.001);
  search(noisy, [&](int64_t size) { return 100.0 * static_cast<double>(size) * (++calls % 2 == 0 ? 1.3 : 0.7); });
  EXPECT_TRUE(noisy.best().has_value());
  SizeSearch steps(1, 1000.0, 0.001);  // memory comes in pages
  search(steps, [](int64_t size) { return 64.0 * static_cast<double>(size / 8 + 1); });
  EXPECT_NEAR(steps.best()->cost, 1000.0, 64.0);
}

TEST(SizeSearch, ASizeIsMeasuredOnTrainingDataAlone) {
  RunSpec method;
  method.label = "lora";
  method.methods = {{"lora", {{"rank", 8}, {"alpha", 16.0}}}};
  method.is_baseline = true;
  method.train_data = "t";
  method.validation_data = method.test_data = method.retention_data = "x";
  method.metrics = {{"bleu", {}}};
  method.train.epochs = 3;
  const RunSpec size = size_of(method, "rank", 5, 10, 2);
  EXPECT_EQ(size.role, "size");
  EXPECT_EQ(size.label, "lora [rank=5]");
  EXPECT_EQ(size.of_label, "lora");
  EXPECT_EQ(size.methods[0].options, (Table{{"rank", 5}, {"alpha", 16.0}}));
  EXPECT_EQ(size.train.steps, 10);
  EXPECT_EQ(size.train.epochs, std::nullopt);
  EXPECT_EQ(size.seed, 2);
  EXPECT_FALSE(size.is_baseline);
  EXPECT_EQ(size.train_data + size.validation_data + size.test_data + size.retention_data, "t");
  EXPECT_TRUE(size.metrics.empty());
  EXPECT_EQ(size_of(method, "", 0, 10, 2).label, "lora [as it is]");
}

}  // namespace
}  // namespace peftlab::plan
