#include "score.h"

#include <unicode/locid.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <set>
#include <string_view>
#include <unordered_map>

namespace peftlab::chrf {
namespace {

using Text = std::u32string;
using View = std::u32string_view;
using Counts = std::unordered_map<View, int64_t>;

/// The code points of UTF-8 text (bytes that are none read as U+FFFD), in lower case if asked for: by Unicode's full
/// mapping without a language, as Python's str.lower() does it.
Text code_points(const std::string& utf8, bool lowercase) {
  auto text = icu::UnicodeString::fromUTF8(icu::StringPiece(utf8.data(), static_cast<int32_t>(utf8.size())));
  if (lowercase) text.toLower(icu::Locale::getRoot());
  Text result(static_cast<size_t>(text.countChar32()), U'\0');
  UErrorCode status = U_ZERO_ERROR;  // the buffer is as long as it must be: nothing can fail
  text.toUTF32(reinterpret_cast<UChar32*>(result.data()), static_cast<int32_t>(result.size()), status);
  return result;
}

/// What Python's str.split() takes for white space.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_punctuation(char32_t c) {
  return (c >= 0x21 && c <= 0x2F) || (c >= 0x3A && c <= 0x40) || (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
}

/// The words of `text`. One ASCII punctuation mark is parted from a word's end or, if there is none, its beginning.
std::vector<View> words_of(View text) {
  std::vector<View> words;
  for (size_t i = 0; i < text.size();) {
    if (is_space(text[i])) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < text.size() && !is_space(text[end])) ++end;
    const View word = text.substr(i, end - i);
    const size_t cut = word.size() == 1              ? 0
                       : is_punctuation(word.back()) ? word.size() - 1
                       : is_punctuation(word[0])     ? 1
                                                     : 0;
    if (cut > 0) words.push_back(word.substr(0, cut));
    words.push_back(word.substr(cut));
    i = end;
  }
  return words;
}

/// A segment made ready for counting. Views in counts point into it.
struct Segment {
  Text characters;
  Text words;                  // joined by single spaces
  std::vector<size_t> begins;  // of each word in `words`, and one past the end of the last, space included

  Segment(const std::string& utf8, const Options& options) {
    const Text text = code_points(utf8, options.lowercase);
    characters = text;
    if (!options.whitespace) std::erase_if(characters, is_space);
    for (const View word : words_of(text)) {
      begins.push_back(words.size());
      words += word;
      words += U' ';
    }
    begins.push_back(words.size());
  }

  Counts characters_of(size_t n) const {
    Counts counts;
    for (size_t i = 0; i + n <= characters.size(); ++i) ++counts[View(characters).substr(i, n)];
    return counts;
  }
  Counts words_of_order(size_t n) const {
    Counts counts;
    for (size_t i = 0; i + n < begins.size(); ++i) {
      ++counts[View(words).substr(begins[i], begins[i + n] - begins[i] - 1)];
    }
    return counts;
  }
};

std::vector<Counts> counts_of(const Segment& segment, const Options& options) {
  std::vector<Counts> counts;
  for (int64_t n = 1; n <= options.char_order; ++n) counts.push_back(segment.characters_of(static_cast<size_t>(n)));
  for (int64_t n = 1; n <= options.word_order; ++n) counts.push_back(segment.words_of_order(static_cast<size_t>(n)));
  return counts;
}

Matches matches_of(const Counts& output, const Counts& reference) {
  Matches matches;
  for (const auto& [gram, count] : output) {
    matches.output += count;
    if (const auto found = reference.find(gram); found != reference.end()) {
      matches.both += std::min(count, found->second);
    }
  }
  for (const auto& [gram, count] : reference) matches.reference += count;
  if (reference.empty()) matches.output = 0;
  return matches;
}

}  // namespace

void add(Statistics& sum, const Statistics& more) {
  sum.resize(more.size());
  for (size_t i = 0; i < more.size(); ++i) {
    sum[i].output += more[i].output;
    sum[i].reference += more[i].reference;
    sum[i].both += more[i].both;
  }
}

Statistics statistics_of(const std::string& output, const References& references, const Options& options) {
  const Segment segment(output, options);
  const auto counts = counts_of(segment, options);
  Statistics best;
  double best_score = -1.0;
  for (const auto& reference : references) {
    if (!reference) continue;
    const Segment known(*reference, options);
    const auto known_counts = counts_of(known, options);
    Statistics statistics;
    for (size_t i = 0; i < counts.size(); ++i) statistics.push_back(matches_of(counts[i], known_counts[i]));
    const double value = score(statistics, options);
    if (value > best_score) {
      best_score = value;
      best = std::move(statistics);
    }
  }
  return best;
}

double score(const Statistics& statistics, const Options& options) {
  // Each line rounds as sacreBLEU's does: the order of products, quotients and sums is part of the result.
  constexpr double kEpsilon = 1e-16;
  const auto factor = static_cast<double>(options.beta * options.beta);
  double sum = 0.0, precisions = 0.0, recalls = 0.0, orders = 0.0;
  for (const auto& [output, reference, both] : statistics) {
    const double precision = output > 0 ? static_cast<double>(both) / static_cast<double>(output) : kEpsilon;
    const double recall = reference > 0 ? static_cast<double>(both) / static_cast<double>(reference) : kEpsilon;
    const double denominator = factor * precision + recall;
    sum += denominator > 0 ? (1 + factor) * precision * recall / denominator : kEpsilon;
    if (output > 0 && reference > 0) {
      precisions += precision;
      recalls += recall;
      orders += 1;
    }
  }
  if (options.eps_smoothing) return 100 * sum / static_cast<double>(statistics.size());
  if (orders > 0) {
    precisions /= orders;
    recalls /= orders;
  }
  if (precisions + recalls == 0.0) return 0.0;
  return 100 * ((1 + factor) * precisions * recalls / (factor * precisions + recalls));
}

std::string signature(const std::vector<References>& references, const Options& options) {
  std::set<ptrdiff_t> numbers;
  for (const References& segment : references) {
    numbers.insert(std::count_if(segment.begin(), segment.end(), [](const auto& r) { return r.has_value(); }));
  }
  const std::string number = numbers.size() == 1 ? std::to_string(*numbers.begin()) : "var";
  return "nrefs:" + number + "|case:" + (options.lowercase ? "lc" : "mixed") +
         "|eff:" + (options.eps_smoothing ? "no" : "yes") + "|nc:" + std::to_string(options.char_order) +
         "|nw:" + std::to_string(options.word_order) + "|space:" + (options.whitespace ? "yes" : "no") +
         "|version:2.6.0";
}

}  // namespace peftlab::chrf
