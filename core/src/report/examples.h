#pragma once

/// \file
/// Two runs example by example, from the predictions that the store keeps.

#include "statistics/tests.h"
#include "store/store.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::report {

/// A metric that scores examples one by one, on the split `test`: the first run less the second.
struct ExampleTest {
  std::string metric;
  statistics::Bootstrap difference;
  /// Where every example is right (1) or wrong (0): those that one run alone has right, and the exact p of McNemar's test.
  std::optional<int64_t> only_first, only_second;
  std::optional<double> mcnemar;
};

/// What is tested is the noise of the test set, not that of the seeds. Metrics without scores of examples (corpus BLEU)
/// have none here. `a` and `b`: uuids or their beginnings. Throws: ConfigError if a run kept no predictions on test, or
/// they are of other examples.
std::vector<ExampleTest> example_tests(const store::Store& store, const std::string& a, const std::string& b);

/// A method against the baseline, example by example: its scores, each the mean over the seeds that both were run with,
/// less the baseline's.
struct MethodExamples {
  std::string label, baseline, metric;
  int64_t n_seeds = 0;
  statistics::Bootstrap difference;
  double p_holm = 1.0;  ///< over the methods
  std::string verdict;  ///< "better" or "worse" where p_holm is below 0.05, else "no clear difference"
};

/// Of every method with a seed in common with the baseline, and every metric that scores examples. `experiment`: empty
/// means the newest. Throws: ConfigError if there is no such experiment, or it has no baseline.
std::vector<MethodExamples> method_example_tests(const store::Store& store, const std::string& experiment);

}  // namespace peftlab::report
