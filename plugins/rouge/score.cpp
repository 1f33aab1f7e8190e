#include "score.h"

#include "stem.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace peftlab::rouge {
namespace {

/// Words as numbers: the same word has the same number, in output and reference.
using Words = std::vector<int32_t>;

class Vocabulary {
 public:
  explicit Vocabulary(bool stemmed) : stemmed_(stemmed) {}

  /// Everything but ASCII letters and digits parts words. Two characters beyond ASCII have one of them in their lower
  /// case: the Kelvin sign becomes k, and a capital I with a dot becomes i and a combining dot.
  Words words_of(std::string_view text) {
    Words words;
    std::string word;
    const auto finish = [&] {
      if (!word.empty()) words.push_back(number_of(stemmed_ && word.size() > 3 ? stem(word) : word));
      word.clear();
    };
    for (size_t i = 0; i < text.size(); ++i) {
      const char c = text[i];
      if (('a' <= c && c <= 'z') || ('0' <= c && c <= '9')) {
        word += c;
      } else if ('A' <= c && c <= 'Z') {
        word += static_cast<char>(c - 'A' + 'a');
      } else if (text.substr(i, 3) == "\u212A") {
        word += 'k';
        i += 2;
      } else if (text.substr(i, 2) == "\u0130") {
        word += 'i';
        finish();
        i += 1;
      } else {
        finish();
      }
    }
    finish();
    return words;
  }

 private:
  int32_t number_of(const std::string& word) {
    return numbers_.try_emplace(word, static_cast<int32_t>(numbers_.size())).first->second;
  }

  bool stemmed_;
  std::map<std::string, int32_t> numbers_;
};

double f_measure(int64_t hits, int64_t of_output, int64_t of_reference) {
  if (hits == 0) return 0.0;
  const double precision = static_cast<double>(hits) / static_cast<double>(of_output);
  const double recall = static_cast<double>(hits) / static_cast<double>(of_reference);
  return 2 * precision * recall / (precision + recall);
}

double of_grams(const Words& reference, const Words& output, size_t n) {
  const auto count = [n](const Words& words) {
    std::map<Words, int64_t> counts;
    for (size_t i = 0; i + n <= words.size(); ++i) {
      ++counts[Words(words.begin() + static_cast<std::ptrdiff_t>(i),
                     words.begin() + static_cast<std::ptrdiff_t>(i + n))];
    }
    return counts;
  };
  const auto of_output = count(output);
  int64_t hits = 0, outputs = 0, references = 0;
  for (const auto& [gram, times] : of_output) outputs += times;
  for (const auto& [gram, times] : count(reference)) {
    references += times;
    if (const auto found = of_output.find(gram); found != of_output.end()) hits += std::min(times, found->second);
  }
  return f_measure(hits, outputs, references);
}

/// One longest common subsequence, as places in `reference`. Of several it is the one that rouge-score finds: from the
/// ends backwards, both go back where words are equal, else the output where that loses less, else the reference.
std::vector<size_t> common_subsequence(const Words& reference, const Words& output) {
  enum Step : uint8_t { both, in_output, in_reference };
  const size_t columns = output.size();
  std::vector<Step> steps(reference.size() * columns);
  std::vector<int32_t> above(columns + 1, 0), here(columns + 1, 0);  // lengths in rows i - 1 and i
  for (size_t i = 0; i < reference.size(); ++i) {
    for (size_t j = 0; j < columns; ++j) {
      const bool equal = reference[i] == output[j];
      here[j + 1] = equal ? above[j] + 1 : std::max(above[j + 1], here[j]);
      steps[i * columns + j] = equal ? both : here[j] > above[j + 1] ? in_output : in_reference;
    }
    std::swap(above, here);
  }
  std::vector<size_t> places;
  for (size_t i = reference.size(), j = columns; i > 0 && j > 0;) {
    const Step step = steps[(i - 1) * columns + j - 1];
    if (step == both) places.push_back(i - 1);
    if (step != in_output) --i;
    if (step != in_reference) --j;
  }
  return places;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (end > begin) lines.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return lines;
}

/// The union over the output's sentences of what each has in common with a sentence of the reference; each word counts
/// as often as both texts have it, at most.
double of_summaries(std::string_view reference, std::string_view output, Vocabulary& vocabulary) {
  std::vector<Words> sentences;
  std::map<int32_t, int64_t> left_in_output, left_in_reference;
  int64_t outputs = 0, references = 0, hits = 0;
  for (const std::string_view line : lines_of(output)) {
    sentences.push_back(vocabulary.words_of(line));
    for (const int32_t word : sentences.back()) ++left_in_output[word], ++outputs;
  }
  std::vector<Words> wanted;
  for (const std::string_view line : lines_of(reference)) {
    wanted.push_back(vocabulary.words_of(line));
    for (const int32_t word : wanted.back()) ++left_in_reference[word], ++references;
  }
  for (const Words& sentence : wanted) {
    std::set<size_t> places;
    for (const Words& other : sentences) {
      const auto found = common_subsequence(sentence, other);
      places.insert(found.begin(), found.end());
    }
    for (const size_t place : places) {
      int64_t &a = left_in_output[sentence[place]], &b = left_in_reference[sentence[place]];
      if (a > 0 && b > 0) --a, --b, ++hits;
    }
  }
  return f_measure(hits, outputs, references);
}

}  // namespace

Scores score(std::string_view reference, std::string_view output, bool stemmed) {
  Vocabulary vocabulary(stemmed);
  const Words wanted = vocabulary.words_of(reference), words = vocabulary.words_of(output);
  const auto common = static_cast<int64_t>(common_subsequence(wanted, words).size());
  return {of_grams(wanted, words, 1), of_grams(wanted, words, 2),
          f_measure(common, static_cast<int64_t>(words.size()), static_cast<int64_t>(wanted.size())),
          of_summaries(reference, output, vocabulary)};
}

}  // namespace peftlab::rouge
