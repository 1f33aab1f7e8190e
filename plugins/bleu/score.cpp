#include "score.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

namespace peftlab::bleu {
namespace {

using Tokens = std::vector<std::string>;
using Gram = std::vector<std::string_view>;
using Counts = std::array<std::map<Gram, int64_t>, kOrders>;  ///< [n - 1]: how often each n-gram occurs

Counts count_grams(const Tokens& tokens) {
  Counts counts;
  for (size_t n = 1; n <= kOrders; ++n) {
    for (size_t i = 0; i + n <= tokens.size(); ++i) {
      ++counts[n - 1][Gram(tokens.begin() + static_cast<ptrdiff_t>(i), tokens.begin() + static_cast<ptrdiff_t>(i + n))];
    }
  }
  return counts;
}

template <typename... Arguments>
std::string printed(const char* format, Arguments... arguments) {
  std::array<char, 512> buffer;  // a double has at most 309 digits before the point
  const int length = std::snprintf(buffer.data(), buffer.size(), format, arguments...);
  return std::string(buffer.data(), std::min(buffer.size() - 1, static_cast<size_t>(std::max(length, 0))));
}

/// The logarithm, with sacreBLEU's stand-in for that of 0.
double log_or_low(double x) {
  return x == 0.0 ? -9999999999.0 : std::log(x);
}

}  // namespace

std::optional<Smoothing> smoothing_named(std::string_view name) {
  if (name == "exp") return Smoothing::exp;
  if (name == "floor") return Smoothing::floor;
  if (name == "add-k") return Smoothing::add_k;
  if (name == "none") return Smoothing::none;
  return std::nullopt;
}

std::optional<double> default_value(Smoothing smoothing) {
  if (smoothing == Smoothing::floor) return 0.1;
  if (smoothing == Smoothing::add_k) return 1.0;
  return std::nullopt;
}

Statistics& Statistics::operator+=(const Statistics& other) {
  output_length += other.output_length;
  reference_length += other.reference_length;
  for (size_t i = 0; i < kOrders; ++i) {
    correct[i] += other.correct[i];
    total[i] += other.total[i];
  }
  return *this;
}

Statistics statistics_of(const std::string& output, const References& references, const Options& options) {
  const Tokens tokens = tokenize(output, options.tokenizer, options.lowercase);
  Statistics result;
  result.output_length = static_cast<int64_t>(tokens.size());

  std::vector<Tokens> known;  // the views in `most` point into these
  for (const auto& reference : references) {
    if (reference) known.push_back(tokenize(*reference, options.tokenizer, options.lowercase));
  }
  Counts most;
  int64_t nearest = -1;
  for (const Tokens& reference : known) {
    const auto length = static_cast<int64_t>(reference.size());
    const int64_t difference = std::abs(length - result.output_length);
    if (nearest < 0 || difference < nearest || (difference == nearest && length < result.reference_length)) {
      nearest = difference;
      result.reference_length = length;
    }
    const Counts counts = count_grams(reference);
    for (size_t i = 0; i < kOrders; ++i) {
      for (const auto& [gram, count] : counts[i]) {
        int64_t& best = most[i][gram];
        best = std::max(best, count);
      }
    }
  }

  const Counts counts = count_grams(tokens);
  for (size_t i = 0; i < kOrders; ++i) {
    for (const auto& [gram, count] : counts[i]) {
      result.total[i] += count;
      const auto match = most[i].find(gram);
      if (match != most[i].end()) result.correct[i] += std::min(count, match->second);
    }
  }
  return result;
}

Result score(const Statistics& statistics, const Options& options) {
  // Each line rounds as sacreBLEU's does: the order of products and quotients is part of the result. Sums go from left
  // to right, as in Python up to 3.11; from 3.12 on, sum() is compensated and one score in ten differs in its last bit.
  Result result;
  const auto outputs = static_cast<double>(statistics.output_length);
  const auto references = static_cast<double>(statistics.reference_length);
  result.brevity_penalty = 1.0;
  if (outputs < references) result.brevity_penalty = outputs > 0.0 ? std::exp(1.0 - references / outputs) : 0.0;
  if (std::all_of(statistics.correct.begin(), statistics.correct.end(), [](int64_t c) { return c == 0; })) {
    return result;
  }

  const double value = options.smooth_value.value_or(default_value(options.smoothing).value_or(0.0));
  double halving = 1.0;
  size_t orders = kOrders;
  for (size_t i = 0; i < kOrders; ++i) {
    const double added = options.smoothing == Smoothing::add_k && i > 0 ? value : 0.0;
    const double correct = static_cast<double>(statistics.correct[i]) + added;
    const double total = static_cast<double>(statistics.total[i]) + added;
    if (total == 0.0) break;
    if (options.effective_order) orders = i + 1;
    if (correct != 0.0) {
      result.precisions[i] = 100.0 * correct / total;
    } else if (options.smoothing == Smoothing::exp) {
      halving *= 2.0;
      result.precisions[i] = 100.0 / (halving * total);
    } else if (options.smoothing == Smoothing::floor) {
      result.precisions[i] = 100.0 * value / total;
    }
  }
  double sum = 0.0;
  for (size_t i = 0; i < orders; ++i) sum += log_or_low(result.precisions[i]);
  result.score = result.brevity_penalty * std::exp(sum / static_cast<double>(orders));
  return result;
}

std::string signature(const std::vector<References>& references, const Options& options) {
  std::set<ptrdiff_t> numbers;
  for (const References& segment : references) {
    numbers.insert(std::count_if(segment.begin(), segment.end(), [](const auto& r) { return r.has_value(); }));
  }
  const std::string number = numbers.size() == 1 ? std::to_string(*numbers.begin()) : "var";
  std::string smoothing = options.smoothing == Smoothing::exp ? "exp" : "none";
  if (const auto value = default_value(options.smoothing)) {
    const char* format = options.smoothing == Smoothing::floor ? "floor[%.2f]" : "add-k[%.2f]";
    smoothing = printed(format, options.smooth_value.value_or(*value));
  }
  return "nrefs:" + number + "|case:" + (options.lowercase ? "lc" : "mixed") +
         "|eff:" + (options.effective_order ? "yes" : "no") + "|tok:" + std::string(name_of(options.tokenizer)) +
         "|smooth:" + smoothing + "|version:2.6.0";
}

std::string line(const Result& result, const Statistics& statistics, const std::string& signature) {
  const auto& p = result.precisions;
  const double ratio = statistics.reference_length == 0 ? 0.0
                                                        : static_cast<double>(statistics.output_length) /
                                                              static_cast<double>(statistics.reference_length);
  return "BLEU|" + signature +
         printed(" = %.2f %.1f/%.1f/%.1f/%.1f (BP = %.3f ratio = %.3f hyp_len = %lld ref_len = %lld)", result.score,
                 p[0], p[1], p[2], p[3], result.brevity_penalty, ratio,
                 static_cast<long long>(statistics.output_length), static_cast<long long>(statistics.reference_length));
}

}  // namespace peftlab::bleu
