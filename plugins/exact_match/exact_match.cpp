/// Exact match: the share of outputs that equal one of their references, byte for byte.
///
/// ASCII white space at both ends is no part of an output or a reference; nothing else is changed (no case, article or
/// punctuation rule as SQuAD's: Rajpurkar et al., 2016, arXiv:1606.05250).

#include <peftlab/error.h>
#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <algorithm>
#include <string_view>

namespace peftlab {
namespace {

std::string_view strip(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

class ExactMatch final : public Metric {
 public:
  explicit ExactMatch(Params&) {}

  std::vector<Score> compute(Judged& judged) override {
    const auto& references = judged.references();
    const auto& predictions = judged.predictions();
    Score score;
    score.name = "exact_match";
    score.n_items = judged.size();
    score.detail = "share of outputs that equal a reference, white space at both ends dropped";
    double matches = 0.0;
    for (size_t i = 0; i < references.size(); ++i) {
      const std::string_view output = strip(predictions.at(i));
      const auto& known = references[i];
      if (std::none_of(known.begin(), known.end(), [](const auto& r) { return r.has_value(); })) {
        throw FormatError("exact_match: example " + std::to_string(i + 1) +
                          " has no reference; every one needs at least one");
      }
      const bool match =
          std::any_of(known.begin(), known.end(), [&](const auto& r) { return r && strip(*r) == output; });
      score.per_item.push_back(match ? 1.0 : 0.0);
      matches += score.per_item.back();
    }
    score.value = matches / static_cast<double>(references.size());
    return {score};
  }
};

}  // namespace

PEFTLAB_PLUGIN(Metric, ExactMatch, "exact_match", "share of outputs that equal a reference", "peftlab", "")

}  // namespace peftlab
