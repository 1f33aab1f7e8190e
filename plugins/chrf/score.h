#pragma once

/// \file
/// chrF as sacreBLEU 2.6.0 computes it, from characters to the last digit of the score.
///
/// Source: Popovic, "chrF: character n-gram F-score for automatic MT evaluation", WMT 2015; with words, "chrF++: words
/// helping character n-grams", WMT 2017; Post, arXiv:1804.08771, for the signature.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::chrf {

struct Options {
  int64_t char_order = 6;  ///< n-grams of 1 to this many characters
  int64_t word_order = 0;  ///< and of 1 to this many words; 2 is chrF++
  int64_t beta = 2;        ///< recall counts beta times as much as precision
  bool lowercase = false;
  bool whitespace = false;     ///< whether white space is a character
  bool eps_smoothing = false;  ///< mean of the orders' scores instead of the score of their means
};

/// References of one segment; nullopt is one that is missing.
using References = std::vector<std::optional<std::string>>;

/// How many n-grams of one order there are.
struct Matches {
  int64_t output = 0;     ///< in the output; 0 if the reference has none
  int64_t reference = 0;  ///< in the reference
  int64_t both = 0;

  bool operator==(const Matches&) const = default;
};

/// Counts of every order, characters before words.
using Statistics = std::vector<Matches>;

/// Adds the counts of `more`, order by order.
void add(Statistics& sum, const Statistics& more);

/// The counts of `output` against the reference with the highest score of its own, the first of such.
/// Requires: a reference that is not missing.
Statistics statistics_of(const std::string& output, const References& references, const Options& options);

/// chrF of these counts, 0 to 100.
double score(const Statistics& statistics, const Options& options);

/// sacreBLEU's signature, "nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:2.6.0".
std::string signature(const std::vector<References>& references, const Options& options);

}  // namespace peftlab::chrf
