/// F1 of a classification: of each class the harmonic mean of precision and recall, and a mean of these over classes.
///
///     F1_k = 2 right_k / (wanted_k + answered_k)
///
/// which is 2PR / (P + R) with P = right_k / answered_k and R = right_k / wanted_k, and 0 where nothing is right. The
/// classes are those that occur in references or predictions.
///
/// Source: van Rijsbergen, "Information Retrieval", 2nd ed. 1979, chapter 7; the means are those of scikit-learn's
/// f1_score, which f1_test.cpp holds us to. One difference: it refuses "binary" for more than two classes; here
/// whatever is not `positive` counts as one other class, since a model that answers in words may answer anything.

#include <peftlab/class_counts.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>

namespace peftlab {
namespace {

double f1(const ClassCount& count) {
  const int64_t both = count.wanted + count.answered;
  return both == 0 ? 0.0 : 2.0 * static_cast<double>(count.right) / static_cast<double>(both);
}

class F1 final : public Metric {
 public:
  explicit F1(Params& p)
      : average_(p.get("average", "macro",
                       "the mean over classes: macro (all alike), weighted (by their number of examples), micro (over "
                       "examples), or binary (that of `positive` alone)")),
        positive_(p.get_optional<std::string>("positive", "the class of average = \"binary\"")) {
    p.check(average_ == "macro" || average_ == "weighted" || average_ == "micro" || average_ == "binary", "average",
            "must be one of macro, weighted, micro, binary");
    p.check(average_ != "binary" || positive_, "average", "binary needs `positive`, the class that is looked for");
    p.check(average_ == "binary" || !positive_, "positive", "has a meaning with average = \"binary\" only");
  }

  std::vector<Score> compute(Judged& judged) override {
    const auto counts = count_classes(judged, "f1");
    Score score;
    score.name = "f1";
    score.n_items = judged.size();
    score.value = average_ == "binary" ? of_positive(counts) : mean(counts);
    score.detail = "average:" + average_ + (positive_ ? "|positive:" + *positive_ : "") +
                   "|classes:" + std::to_string(counts.size());
    return {score};
  }

 private:
  double of_positive(const std::map<std::string, ClassCount>& counts) const {
    const auto found = counts.find(*positive_);
    if (found != counts.end()) return f1(found->second);
    std::vector<std::string> names;
    for (const auto& [name, count] : counts) names.push_back(name);
    throw ConfigError("f1: no example has the class \"" + *positive_ + "\" of `positive`. " +
                      suggestion(*positive_, names));
  }

  double mean(const std::map<std::string, ClassCount>& counts) const {
    ClassCount all;
    double sum = 0.0, weights = 0.0;
    for (const auto& [name, count] : counts) {
      all.wanted += count.wanted;
      all.answered += count.answered;
      all.right += count.right;
      const double weight = average_ == "weighted" ? static_cast<double>(count.wanted) : 1.0;
      sum += weight * f1(count);
      weights += weight;
    }
    return average_ == "micro" ? f1(all) : sum / weights;
  }

  std::string average_;
  std::optional<std::string> positive_;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, F1, "f1", "harmonic mean of precision and recall of classes, as scikit-learn computes it",
               "van Rijsbergen, 1979; scikit-learn's f1_score", "")

}  // namespace peftlab
