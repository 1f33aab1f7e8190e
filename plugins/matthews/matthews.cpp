/// Matthews' correlation coefficient between the classes that were answered and those that were wanted, -1 to 1.
///
///     (c s - sum_k a_k w_k) / sqrt((s^2 - sum_k a_k^2) (s^2 - sum_k w_k^2))
///
/// with s examples, c of them right, a_k answers of class k and w_k examples of class k. It is 0 where the root is:
/// where all answers, or all references, are of one class.
///
/// Source: Gorodkin, "Comparing two K-category assignments by a K-category correlation coefficient", 2004, equation 8;
/// of two classes it is Matthews, 1975. The numbers are those of scikit-learn's matthews_corrcoef.

#include <peftlab/class_counts.h>
#include <peftlab/plugin.h>

#include <cmath>

namespace peftlab {
namespace {

class Matthews final : public Metric {
 public:
  explicit Matthews(Params&) {}

  std::vector<Score> compute(Judged& judged) override {
    double examples = 0.0, right = 0.0, both = 0.0, answered = 0.0, wanted = 0.0;
    for (const auto& [name, count] : count_classes(judged, "matthews")) {
      const auto a = static_cast<double>(count.answered), w = static_cast<double>(count.wanted);
      examples += w;
      right += static_cast<double>(count.right);
      both += a * w;
      answered += a * a;
      wanted += w * w;
    }
    const double spread = (examples * examples - answered) * (examples * examples - wanted);
    Score score;
    score.name = "matthews";
    score.n_items = judged.size();
    score.value = spread == 0.0 ? 0.0 : (right * examples - both) / std::sqrt(spread);
    return {score};
  }
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Matthews, "matthews", "correlation of answered with wanted classes, as scikit-learn computes it",
               "Gorodkin, Computational Biology and Chemistry, 2004; Matthews, 1975", "")

}  // namespace peftlab
