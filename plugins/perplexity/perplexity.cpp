/// Perplexity: exp of the mean over all labelled tokens of a split of -log p(token), in nats.
///
/// The mean is over tokens, not over examples, and counts what the model's own tokenizer makes of the text: models
/// with different tokenizers cannot be compared by it.
///
/// Source: Jelinek et al., "Perplexity - a measure of the difficulty of speech recognition tasks", 1977.

#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <cmath>

namespace peftlab {
namespace {

class Perplexity final : public Metric {
 public:
  explicit Perplexity(Params&) {}

  std::vector<Score> compute(Judged& judged) override {
    Score score;
    score.name = "perplexity";
    score.value = std::exp(judged.mean_loss());
    score.n_items = judged.size();
    score.higher_is_better = false;
    return {score};
  }
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Perplexity, "perplexity", "exp of the mean loss of a token", "Jelinek et al., 1977", "")

}  // namespace peftlab
