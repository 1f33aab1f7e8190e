/// Accuracy: the share of examples whose answer is the right class.
///
/// Of a classifier, and where the data set gives choices, answers and references are names of classes. ASCII white
/// space at both ends is no part of a name. Where an example has several references, each of them is right.

#include <peftlab/class_counts.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>

#include <algorithm>

namespace peftlab {
namespace {

class Accuracy final : public Metric {
 public:
  explicit Accuracy(Params&) {}

  std::vector<Score> compute(Judged& judged) override {
    const auto& references = judged.references();
    const auto& predictions = judged.predictions();
    Score score;
    score.name = "accuracy";
    score.n_items = judged.size();
    int64_t right = 0;
    for (size_t i = 0; i < references.size(); ++i) {
      const auto& known = references[i];
      if (std::none_of(known.begin(), known.end(), [](const auto& r) { return r.has_value(); })) {
        throw FormatError("accuracy: example " + std::to_string(i + 1) +
                          " has no reference; every one needs at least one");
      }
      const std::string_view answer = stripped(predictions.at(i));
      const bool is_right =
          std::any_of(known.begin(), known.end(), [&](const auto& r) { return r && stripped(*r) == answer; });
      score.per_item.push_back(is_right ? 1.0 : 0.0);
      right += is_right ? 1 : 0;
    }
    score.value = static_cast<double>(right) / static_cast<double>(references.size());
    return {score};
  }
};

}  // namespace

PEFTLAB_PLUGIN(Metric, Accuracy, "accuracy", "share of answers that are the right class", "peftlab", "")

}  // namespace peftlab
