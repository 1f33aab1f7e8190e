#pragma once

/// \file
/// Whether two methods differ: tests over seeds and over examples, and what several of them together say. Pure functions.

#include <cstdint>
#include <optional>
#include <vector>

namespace peftlab::statistics {

/// The two-sided p of Student's t for a mean with standard deviation sd (n - 1) over n >= 2 pairs.
double p_of_mean(double mean, double sd, int64_t n);

/// One method's scores over its seeds.
struct Sample {
  int64_t n = 0;
  double mean = 0.0;
  double sd = 0.0;  ///< n - 1
};

/// Welch's test, for methods that were run with different seeds: the difference of two means, first less second, with its
/// two-sided p and interval of 95 % (Welch, 1947, "The Generalization of Student's Problem when Several Different
/// Population Variances are Involved", Biometrika 34).
struct Welch {
  double difference = 0.0;
  double ci95_low = 0.0, ci95_high = 0.0;
  double p = 1.0;
};

/// Requires: n >= 2 in both.
Welch welch(const Sample& first, const Sample& second);

/// Holm's step-down adjustment: each p times the number of hypotheses not rejected before it, never below that of a
/// smaller p, at most 1. Those adjusted below 0.05 hold together with an error of 5 % (Holm, 1979, "A Simple Sequentially
/// Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6).
std::vector<double> holm(const std::vector<double>& p);

/// The exact two-sided p of McNemar's test: `only_first` examples that the first alone has right, `only_second` the
/// second alone, which are a fair coin's heads and tails if neither is better (McNemar, 1947, Psychometrika 12; binomial
/// form).
double mcnemar(int64_t only_first, int64_t only_second);

/// Paired bootstrap over examples (Koehn, 2004, "Statistical Significance Tests for Machine Translation Evaluation").
struct Bootstrap {
  int64_t n = 0;
  double mean = 0;
  double ci95_low = 0, ci95_high = 0;  ///< percentiles of the resampled means, interpolated
  double p = 1;  ///< twice the share of resamples on the other side of 0, one added to both counts; at most 1
};

/// `differences`: the first's score less the second's, one an example. The same seed gives the same numbers everywhere.
/// Absent for fewer than two. Throws: std::domain_error for a number that is not finite.
std::optional<Bootstrap> paired_bootstrap(const std::vector<double>& differences, int64_t resamples = 10000,
                                          uint64_t seed = 0);

/// A method's price and worth: of `cost` less is better, of `quality` more.
struct Offer {
  double cost, quality;
};

/// Which offers no other one beats: none is at least as good in both and better in one.
std::vector<bool> pareto_front(const std::vector<Offer>& offers);

}  // namespace peftlab::statistics
