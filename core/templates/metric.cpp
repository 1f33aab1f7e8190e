/// %CLASS%: the share of answers that have as many words as a reference.
///
///     score = mean over examples of [some reference has as many words as the prediction]
///
/// Words are what white space separates. This is a place to start from: say here what your metric computes, with its
/// formula, range and paper.

#include <peftlab/metric.h>
#include <peftlab/plugin.h>

#include <cstdlib>
#include <iterator>
#include <sstream>

namespace peftlab {
namespace {

int64_t words(const std::string& text) {
  std::istringstream stream(text);
  return std::distance(std::istream_iterator<std::string>(stream), {});
}

class %CLASS% final : public Metric {
 public:
  explicit %CLASS%(Params& p)
      : tolerance_(p.get<int64_t>("tolerance", 0, "by how many words an answer may be longer or shorter")) {
    p.check(tolerance_ >= 0, "tolerance", "must be at least 0");
  }

  std::vector<Score> compute(Judged& judged) override {
    Score score{.name = "%NAME%", .n_items = judged.size()};
    for (int64_t i = 0; i < judged.size(); ++i) {
      double item = 0.0;
      for (const auto& reference : judged.references()[i]) {
        if (reference && std::abs(words(*reference) - words(judged.predictions()[i])) <= tolerance_) item = 1.0;
      }
      score.per_item.push_back(item);
      score.value += item / static_cast<double>(judged.size());
    }
    return {score};
  }

 private:
  int64_t tolerance_;
};

}  // namespace

PEFTLAB_PLUGIN(Metric, %CLASS%, "%NAME%", "share of answers as long as a reference", "no paper yet", "")

}  // namespace peftlab
