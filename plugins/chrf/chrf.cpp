/// chrF of a split: how many runs of one to six characters the outputs share with the references, 0 to 100.
///
/// The numbers are sacreBLEU 2.6.0's to the last digit, and so is the signature that is kept beside them. Formulas and
/// sources are in score.h.

#include "score.h"

#include <peftlab/error.h>
#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <algorithm>

namespace peftlab {
namespace {

constexpr int64_t kMaxOrder = 32;
constexpr int64_t kMaxBeta = 1000;

class Chrf final : public Metric {
 public:
  explicit Chrf(Params& p) {
    options_.char_order = p.get<int64_t>("char_order", 6, "n-grams of 1 to this many characters, 0 to 32");
    options_.word_order = p.get<int64_t>("word_order", 0, "and of 1 to this many words, 0 to 32; 2 is chrF++");
    options_.beta = p.get<int64_t>("beta", 2, "recall counts beta times as much as precision, 0 to 1000");
    options_.lowercase = p.get("lowercase", false, "whether case is ignored");
    options_.whitespace = p.get("whitespace", false, "whether white space counts as a character");
    options_.eps_smoothing =
        p.get("eps_smoothing", false, "mean of the orders' scores, as NLTK and Moses, not the score of their means");
    const auto in = [](int64_t value, int64_t most) { return 0 <= value && value <= most; };
    p.check(in(options_.char_order, kMaxOrder), "char_order", "must be in [0, 32]");
    p.check(in(options_.word_order, kMaxOrder), "word_order", "must be in [0, 32]");
    p.check(options_.char_order + options_.word_order > 0, "char_order", "must be at least 1 where word_order is 0");
    p.check(in(options_.beta, kMaxBeta), "beta", "must be in [0, 1000]");
  }

  std::vector<Score> compute(Judged& judged) override {
    const auto& references = judged.references();
    for (size_t i = 0; i < references.size(); ++i) {
      if (std::none_of(references[i].begin(), references[i].end(), [](const auto& r) { return r.has_value(); })) {
        throw FormatError("chrf: example " + std::to_string(i + 1) + " has no reference; every one needs at least one");
      }
    }
    const auto& predictions = judged.predictions();
    chrf::Statistics sum;
    for (size_t i = 0; i < references.size(); ++i) {
      chrf::add(sum, chrf::statistics_of(predictions.at(i), references[i], options_));
    }
    Score score;
    score.name = "chrf";
    score.value = chrf::score(sum, options_);
    score.n_items = judged.size();
    score.detail = chrf::signature(references, options_);
    return {score};
  }

 private:
  chrf::Options options_;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Chrf, "chrf", "character n-gram F-score with the references, as sacreBLEU 2.6.0 computes it",
               "Popovic, WMT 2015 and 2017; Post, arXiv:1804.08771", "")

}  // namespace peftlab
