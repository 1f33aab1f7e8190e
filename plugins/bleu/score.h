#pragma once

/// \file
/// BLEU as sacreBLEU 2.6.0 computes it, from tokens to the last digit of the score.
///
/// Source: Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", ACL 2002, section 2;
/// Post, "A Call for Clarity in Reporting BLEU Scores", WMT 2018, arXiv:1804.08771; smoothing: Chen and Cherry, "A
/// Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU", WMT 2014.

#include "tokenize.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::bleu {

inline constexpr size_t kOrders = 4;  ///< n-grams of 1 to 4 tokens

/// What is done about orders without a match.
enum class Smoothing {
  exp,    ///< the k-th such order counts 1 / 2^k matches
  floor,  ///< such an order counts `value` matches
  add_k,  ///< `value` is added to matches and n-grams of every order above 1
  none,   ///< the score is (all but) 0
};

/// The smoothing that sacreBLEU calls `name` ("exp", "floor", "add-k", "none"), if it is one.
std::optional<Smoothing> smoothing_named(std::string_view name);

/// Its value where none is given: floor 0.1, add-k 1; the others take none.
std::optional<double> default_value(Smoothing smoothing);

struct Options {
  Tokenizer tokenizer = Tokenizer::v13a;
  bool lowercase = false;
  Smoothing smoothing = Smoothing::exp;
  std::optional<double> smooth_value;  ///< for floor and add-k, >= 0
  bool effective_order = false;        ///< leave out orders for which the outputs are too short
};

/// Counts of one segment, or their sums over many.
struct Statistics {
  int64_t output_length = 0;     ///< tokens
  int64_t reference_length = 0;  ///< tokens of the reference nearest in length, the shorter of two as near
  std::array<int64_t, kOrders> correct = {};  ///< n-grams found in a reference, each as often as one of them has it
  std::array<int64_t, kOrders> total = {};    ///< n-grams of the output

  Statistics& operator+=(const Statistics& other);
  bool operator==(const Statistics&) const = default;
};

using References = std::vector<std::optional<std::string>>;  ///< of one segment; those that are missing are skipped

/// Requires: at least one reference that is not missing.
Statistics statistics_of(const std::string& output, const References& references, const Options& options);

struct Result {
  double score = 0.0;                          ///< 0 to 100
  double brevity_penalty = 0.0;                ///< 0 to 1
  std::array<double, kOrders> precisions = {}; ///< 0 to 100, smoothed
};

/// The score of summed statistics. That of a sentence is the score of its own, best with effective_order.
Result score(const Statistics& statistics, const Options& options);

/// "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"; nrefs is "var" where segments differ in it.
std::string signature(const std::vector<References>& references, const Options& options);

/// "BLEU|<signature> = 38.26 78.9/52.9/33.3/15.4 (BP = 1.000 ratio = 1.118 hyp_len = 19 ref_len = 17)".
std::string line(const Result& result, const Statistics& statistics, const std::string& signature);

}  // namespace peftlab::bleu
