/// CIDEr-D: how much an answer has in common with its references, rare words counting more than common ones.
///
/// For the n-grams w of an answer c and of one of its references s, with n from 1 to 4,
///
///     g(w) = count(w) (log N - log max(1, d(w)))        N: examples    d(w): those with w in some reference
///     sim_n(c, s) = sum_w min(g_c(w), g_s(w)) g_s(w) / (|g_c| |g_s|) * exp(-(l_c - l_s)^2 / (2 * 6^2))
///     CIDEr-D of an example = 10 * mean over its references and over n of sim_n
///
/// l counts bigrams. The score is the mean over examples: 0 where nothing rare is shared, at most 10. It says little of
/// few examples, and of one alone, where no word is rarer than another, it is 0.
///
/// Source: Vedantam, Zitnick and Parikh, "CIDEr: Consensus-based Image Description Evaluation", CVPR 2015, CIDEr-D,
/// arXiv:1411.5726, as coco-caption computes it (pycocoevalcap 1.2, class Cider, to whose numbers oracle/expected.json
/// holds us). One difference: coco-caption cuts texts with Stanford's PTBTokenizer, a program in Java. Here words are
/// what white space separates, in lower case (ASCII), with the marks that coco-caption drops taken off their ends;
/// `tokenize` = "none" takes texts that some other program has cut already.

#include <peftlab/error.h>
#include <peftlab/metric.h>
#include <peftlab/params.h>
#include <peftlab/plugin.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <string_view>

namespace peftlab {
namespace {

constexpr size_t kOrders = 4;
constexpr double kSigma = 6.0;
constexpr std::string_view kSpaces = " \t\n\v\f\r";
constexpr std::string_view kMarks = "'`\"(){}.?!,:;-";

using Counts = std::map<std::string, int64_t>;  ///< by the n-gram's words, a space between them

/// How often each n-gram is in a text, by n - 1.
using Grams = std::array<Counts, kOrders>;

/// "The Cat." -> "the cat" with `cut`; else white space alone separates words.
std::vector<std::string> words_of(std::string_view text, bool cut) {
  std::vector<std::string> words;
  for (size_t at = 0; (at = text.find_first_not_of(kSpaces, at)) != std::string_view::npos;) {
    const size_t end = std::min(text.find_first_of(kSpaces, at), text.size());
    std::string_view word = text.substr(at, end - at);
    at = end;
    if (cut) {
      const size_t first = word.find_first_not_of(kMarks);
      if (first == std::string_view::npos) continue;
      word = word.substr(first, word.find_last_not_of(kMarks) - first + 1);
    }
    std::string& kept = words.emplace_back(word);
    if (!cut) continue;
    for (char& letter : kept) {
      if (letter >= 'A' && letter <= 'Z') letter = static_cast<char>(letter - 'A' + 'a');
    }
  }
  return words;
}

Grams grams_of(const std::vector<std::string>& words) {
  Grams grams;
  for (size_t first = 0; first < words.size(); ++first) {
    std::string gram;
    for (size_t n = 0; n < kOrders && first + n < words.size(); ++n) {
      gram += (n > 0 ? " " : "") + words[first + n];
      ++grams[n][gram];
    }
  }
  return grams;
}

/// A text as CIDEr sees it.
struct Vector {
  std::array<std::map<std::string, double>, kOrders> weights;  ///< g
  std::array<double, kOrders> norms = {};                      ///< |g|
  int64_t length = 0;                                          ///< bigrams
};

/// `examples`: how many there are; `found_in`: in the references of how many an n-gram is.
Vector vector_of(const Grams& grams, int64_t examples, const Counts& found_in) {
  Vector vector;
  for (size_t n = 0; n < kOrders; ++n) {
    double squares = 0.0;
    for (const auto& [gram, count] : grams[n]) {
      const auto found = found_in.find(gram);
      const double rarity = std::log(static_cast<double>(examples)) -
                            (found == found_in.end() ? 0.0 : std::log(static_cast<double>(found->second)));
      const double weight = static_cast<double>(count) * rarity;
      vector.weights[n][gram] = weight;
      squares += weight * weight;
      if (n == 1) vector.length += count;
    }
    vector.norms[n] = std::sqrt(squares);
  }
  return vector;
}

/// The mean of sim_n over n.
double similarity(const Vector& answer, const Vector& reference) {
  double sum = 0.0;
  for (size_t n = 0; n < kOrders; ++n) {
    if (answer.norms[n] == 0.0 || reference.norms[n] == 0.0) continue;
    double product = 0.0;
    for (const auto& [gram, weight] : answer.weights[n]) {
      const auto wanted = reference.weights[n].find(gram);
      if (wanted != reference.weights[n].end()) product += std::min(weight, wanted->second) * wanted->second;
    }
    sum += product / (answer.norms[n] * reference.norms[n]);
  }
  const auto apart = static_cast<double>(answer.length - reference.length);
  return sum / kOrders * std::exp(-apart * apart / (2 * kSigma * kSigma));
}

class Cider final : public Metric {
 public:
  explicit Cider(Params& p) {
    const std::string tokenize =
        p.get("tokenize", "words", "how texts are cut: \"words\" (lower case, punctuation taken off) or \"none\"");
    p.check(tokenize == "words" || tokenize == "none", "tokenize", "must be \"words\" or \"none\"");
    cut_ = tokenize != "none";
  }

  std::vector<Score> compute(Judged& judged) override {
    std::vector<std::vector<Grams>> references;
    Counts found_in;
    for (const auto& texts : judged.references()) {
      std::vector<Grams>& grams = references.emplace_back();
      std::set<std::string> once;
      for (const auto& text : texts) {
        if (!text) continue;
        grams.push_back(grams_of(words_of(*text, cut_)));
        for (const Counts& counts : grams.back()) {
          for (const auto& [gram, count] : counts) once.insert(gram);
        }
      }
      if (grams.empty()) {
        throw FormatError("cider: example " + std::to_string(references.size()) +
                          " has no reference; every one needs at least one");
      }
      for (const std::string& gram : once) ++found_in[gram];
    }

    Score score;
    score.name = "cider";
    score.n_items = judged.size();
    for (int64_t i = 0; i < judged.size(); ++i) {
      const auto vector = [&](const Grams& grams) { return vector_of(grams, judged.size(), found_in); };
      const Vector answer = vector(grams_of(words_of(judged.predictions().at(i), cut_)));
      double sum = 0.0;
      for (const Grams& reference : references[i]) sum += similarity(answer, vector(reference));
      score.per_item.push_back(10.0 * sum / static_cast<double>(references[i].size()));
      score.value += score.per_item.back() / static_cast<double>(judged.size());
    }
    score.detail = std::string("CIDEr-D, n = 1..4, sigma = 6, words: ") +
                   (cut_ ? "white space, lower case, marks '`\"(){}.?!,:;- taken off their ends; not PTBTokenizer"
                         : "white space alone");
    return {score};
  }

 private:
  bool cut_ = true;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Cider, "cider", "CIDEr-D: n-grams shared with the references, rare ones counting more",
               "arXiv:1411.5726", "")

}  // namespace peftlab
