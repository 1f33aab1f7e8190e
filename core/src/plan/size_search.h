#pragma once

/// \file
/// `match`: the size of a method at which it costs what another one does. Pure: it says what to measure and is told.

#include "plan/run_spec.h"

#include <cstdint>
#include <map>
#include <optional>

namespace peftlab::plan {

/// Looks for the integer >= 1 whose cost is nearest to `target`, taking cost to grow with size. It starts from `first`,
/// brackets the target by going up or down by what costs being proportional to size would ask for (from the second size
/// on, by the line through two), and closes in by the line between the two ends. Ends when a size is within the
/// tolerance, when the bracket holds no further size, or after kMostSizes measurements.
class SizeSearch {
 public:
  static constexpr int kMostSizes = 16;
  static constexpr int64_t kLargest = int64_t{1} << 20;

  /// Requires: first >= 1, target > 0, tolerance >= 0 (relative).
  SizeSearch(int64_t first, double target, double tolerance);

  /// The size to measure next; nullopt: the search has ended.
  std::optional<int64_t> next() const;
  void measured(int64_t size, double cost);
  /// The method cannot be made in this size: larger ones are not asked for.
  void refused(int64_t size);

  struct Best {
    int64_t size = 0;
    double cost = 0.0;
    bool within = false;  ///< the tolerance
  };
  /// Of what was measured; nullopt if nothing was. The smaller of two that are as near.
  std::optional<Best> best() const;
  /// Size -> cost.
  const std::map<int64_t, double>& costs() const { return costs_; }

 private:
  bool is_near(double cost) const;

  int64_t first_;
  double target_, tolerance_;
  int64_t least_refused_ = kLargest + 1;
  int n_refused_ = 0;
  std::map<int64_t, double> costs_;
};

/// A run that measures what `method` costs with `option` = `size`: a few optimizer steps on the training data, nothing
/// evaluated. Without an option, what it costs as it is.
RunSpec size_of(const RunSpec& method, const std::string& option, int64_t size, int64_t steps, int64_t seed);

/// `method` with `option` = `size`.
RunSpec with_size(const RunSpec& method, const std::string& option, int64_t size);

}  // namespace peftlab::plan
