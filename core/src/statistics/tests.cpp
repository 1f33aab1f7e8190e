#include "statistics/tests.h"

#include <boost/math/distributions/binomial.hpp>
#include <boost/math/distributions/students_t.hpp>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <stdexcept>
#include <string>

namespace peftlab::statistics {
namespace {

void require_finite(const std::vector<double>& numbers) {
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) {
      throw std::domain_error("difference " + std::to_string(i) + " is not finite");
    }
  }
}

double mean_of(const std::vector<double>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), 0.0) / static_cast<double>(numbers.size());
}

/// The q quantile of sorted numbers, interpolated between neighbours.
double quantile(const std::vector<double>& sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

/// A number below `n`, all equally likely. Not std::uniform_int_distribution, whose numbers differ by library.
uint64_t below(uint64_t n, std::mt19937_64& random) {
  const uint64_t most = std::mt19937_64::max() - std::mt19937_64::max() % n;  // a multiple of n
  uint64_t drawn = random();
  while (drawn >= most) drawn = random();
  return drawn % n;
}

}  // namespace

double p_of_mean(double mean, double sd, int64_t n) {
  if (sd == 0) return mean == 0 ? 1.0 : 0.0;
  const double t = std::abs(mean) / (sd / std::sqrt(static_cast<double>(n)));
  const boost::math::students_t student(static_cast<double>(n - 1));
  return std::min(1.0, 2.0 * boost::math::cdf(boost::math::complement(student, t)));
}

Welch welch(const Sample& first, const Sample& second) {
  const double a = first.sd * first.sd / static_cast<double>(first.n);
  const double b = second.sd * second.sd / static_cast<double>(second.n);
  Welch result;
  result.difference = first.mean - second.mean;
  if (a + b == 0) {
    result.ci95_low = result.ci95_high = result.difference;
    result.p = result.difference == 0 ? 1.0 : 0.0;
    return result;
  }
  const double freedom =
      (a + b) * (a + b) / (a * a / static_cast<double>(first.n - 1) + b * b / static_cast<double>(second.n - 1));
  const boost::math::students_t student(freedom);
  const double error = std::sqrt(a + b);
  const double half = boost::math::quantile(student, 0.975) * error;
  result.ci95_low = result.difference - half;
  result.ci95_high = result.difference + half;
  result.p =
      std::min(1.0, 2.0 * boost::math::cdf(boost::math::complement(student, std::abs(result.difference) / error)));
  return result;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<size_t> order(p.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double largest = 0;
  for (size_t rank = 0; rank < order.size(); ++rank) {
    largest = std::max(largest, std::min(1.0, static_cast<double>(p.size() - rank) * p[order[rank]]));
    adjusted[order[rank]] = largest;
  }
  return adjusted;
}

double mcnemar(int64_t only_first, int64_t only_second) {
  const int64_t n = only_first + only_second, fewer = std::min(only_first, only_second);
  if (n == 0) return 1.0;
  const boost::math::binomial coin(static_cast<double>(n), 0.5);
  return std::min(1.0, 2.0 * boost::math::cdf(coin, static_cast<double>(fewer)));
}

std::optional<Bootstrap> paired_bootstrap(const std::vector<double>& differences, int64_t resamples, uint64_t seed) {
  require_finite(differences);
  Bootstrap result;
  result.n = static_cast<int64_t>(differences.size());
  if (result.n < 2) return std::nullopt;
  result.mean = mean_of(differences);
  std::mt19937_64 random(seed);
  std::vector<double> means(static_cast<size_t>(resamples));
  int64_t at_most_zero = 0, at_least_zero = 0;
  for (double& mean : means) {
    double sum = 0;
    for (int64_t i = 0; i < result.n; ++i) sum += differences[below(static_cast<uint64_t>(result.n), random)];
    mean = sum / static_cast<double>(result.n);
    at_most_zero += mean <= 0 ? 1 : 0;
    at_least_zero += mean >= 0 ? 1 : 0;
  }
  std::sort(means.begin(), means.end());
  result.ci95_low = quantile(means, 0.025);
  result.ci95_high = quantile(means, 0.975);
  const auto fewer = static_cast<double>(std::min(at_most_zero, at_least_zero));
  result.p = std::min(1.0, 2.0 * (fewer + 1.0) / (static_cast<double>(resamples) + 1.0));
  return result;
}

std::vector<bool> pareto_front(const std::vector<Offer>& offers) {
  std::vector<bool> front(offers.size(), true);
  for (size_t i = 0; i < offers.size(); ++i) {
    for (const Offer& other : offers) {
      const bool as_good = other.cost <= offers[i].cost && other.quality >= offers[i].quality;
      if (as_good && (other.cost < offers[i].cost || other.quality > offers[i].quality)) front[i] = false;
    }
  }
  return front;
}

}  // namespace peftlab::statistics
