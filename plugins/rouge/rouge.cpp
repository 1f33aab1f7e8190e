/// ROUGE of a split: how many words, pairs of words and words in order the outputs share with the references, as means
/// over examples of F-measures in [0, 1].
///
/// The numbers are those of rouge-score 0.1.2, Google's package; formulas and sources are in score.h, the stemmer in
/// stem.h.

#include "score.h"

#include <peftlab/error.h>
#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <algorithm>

namespace peftlab {
namespace {

class Rouge final : public Metric {
 public:
  explicit Rouge(Params& p) : stemmed_(p.get("use_stemmer", false, "whether English words are cut to their stems")) {}

  std::vector<Score> compute(Judged& judged) override {
    const auto& references = judged.references();
    const auto& predictions = judged.predictions();
    std::vector<Score> scores;
    for (const char* name : rouge::kNames) {
      scores.push_back({.name = name, .n_items = judged.size(), .detail = detail()});
    }
    for (size_t i = 0; i < references.size(); ++i) {
      const rouge::Scores best = best_of(predictions.at(i), references[i], i);
      for (size_t k = 0; k < best.size(); ++k) scores[k].per_item.push_back(best[k]);
    }
    for (Score& score : scores) {
      for (const double value : score.per_item) score.value += value;
      score.value /= static_cast<double>(references.size());
    }
    Score first = scores[2];
    first.name = "rouge";
    scores.insert(scores.begin(), std::move(first));
    return scores;
  }

 private:
  /// Of each kind the highest over the references, which need not be that of the same one.
  rouge::Scores best_of(const std::string& output, const std::vector<std::optional<std::string>>& references,
                        size_t example) const {
    rouge::Scores best;
    best.fill(-1.0);
    for (const auto& reference : references) {
      if (!reference) continue;
      const rouge::Scores scores = rouge::score(*reference, output, stemmed_);
      for (size_t k = 0; k < best.size(); ++k) best[k] = std::max(best[k], scores[k]);
    }
    if (best[0] < 0.0) {
      throw FormatError("rouge: example " + std::to_string(example + 1) +
                        " has no reference; every one needs at least one");
    }
    return best;
  }

  std::string detail() const {
    return std::string("F1|stemmer:") + (stemmed_ ? "yes" : "no") + "|as:rouge-score 0.1.2";
  }

  bool stemmed_;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Rouge, "rouge", "words and sequences shared with the references, as rouge-score computes it",
               "Lin, Text Summarization Branches Out, 2004; Porter, 1980", "")

}  // namespace peftlab
