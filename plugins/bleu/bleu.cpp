/// BLEU of a split: how many runs of 1 to 4 tokens the outputs share with the references, 0 to 100.
///
/// The numbers are sacreBLEU 2.6.0's to the last digit, and so is the signature that is kept beside them. Formulas and
/// sources are in score.h, the tokenizers in tokenize.h.

#include "score.h"

#include <peftlab/error.h>
#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <algorithm>

namespace peftlab {
namespace {

class Bleu final : public Metric {
 public:
  explicit Bleu(Params& p) {
    const auto tokenizer = p.get("tokenize", "13a", "how segments are cut: 13a, zh, char, intl or none");
    options_.lowercase = p.get("lowercase", false, "whether case is ignored");
    const auto smoothing = p.get("smooth", "exp", "for orders without a match: exp, floor, add-k or none");
    options_.smooth_value =
        p.get_optional<double>("smooth_value", "for floor (default 0.1) and add-k (1.0), in [0, 1e6]");
    options_.effective_order =
        p.get("effective_order", false, "leave out orders for which the outputs are too short; for single sentences");

    const auto known_tokenizer = bleu::tokenizer_named(tokenizer);
    p.check(known_tokenizer.has_value(), "tokenize", "must be one of 13a, zh, char, intl, none");
    options_.tokenizer = known_tokenizer.value_or(options_.tokenizer);
    const auto known_smoothing = bleu::smoothing_named(smoothing);
    p.check(known_smoothing.has_value(), "smooth", "must be one of exp, floor, add-k, none");
    options_.smoothing = known_smoothing.value_or(options_.smoothing);
    if (options_.smooth_value) {
      p.check(*options_.smooth_value >= 0.0 && *options_.smooth_value <= 1e6, "smooth_value", "must be in [0, 1e6]");
      p.check(bleu::default_value(options_.smoothing).has_value(), "smooth_value",
              "has a meaning with smooth = \"floor\" or \"add-k\" only");
    }
  }

  std::vector<Score> compute(Judged& judged) override {
    const auto& references = judged.references();
    for (size_t i = 0; i < references.size(); ++i) {
      if (std::none_of(references[i].begin(), references[i].end(), [](const auto& r) { return r.has_value(); })) {
        throw FormatError("bleu: example " + std::to_string(i + 1) + " has no reference; every one needs at least one");
      }
    }
    const auto& predictions = judged.predictions();
    bleu::Statistics sum;
    for (size_t i = 0; i < references.size(); ++i) {
      sum += bleu::statistics_of(predictions.at(i), references[i], options_);
    }
    Score score;
    score.name = "bleu";
    score.value = bleu::score(sum, options_).score;
    score.n_items = judged.size();
    score.detail = bleu::signature(references, options_);
    return {score};
  }

 private:
  bleu::Options options_;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Bleu, "bleu", "n-gram overlap with the references, as sacreBLEU 2.6.0 computes it",
               "Papineni et al., ACL 2002; Post, arXiv:1804.08771", "")

}  // namespace peftlab
