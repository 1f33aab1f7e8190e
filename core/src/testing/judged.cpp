#include <peftlab/testing/judged.h>

#include <peftlab/error.h>

namespace peftlab::testing {

ToyJudged::ToyJudged(std::vector<std::string> predictions, References references, Likely likely)
    : predictions_(std::move(predictions)), references_(std::move(references)), likely_(std::move(likely)) {}

int64_t ToyJudged::size() const { return static_cast<int64_t>(references_.size()); }

std::vector<Likelihood> ToyJudged::likelihoods(const std::vector<Candidate>& candidates) {
  if (!likely_) {
    throw UnsupportedError("there is no model here to ask for likelihoods");
  }
  std::vector<Likelihood> result;
  for (const Candidate& candidate : candidates) {
    asked_.push_back(candidate);
    result.push_back(likely_(candidate));
  }
  return result;
}

double ToyJudged::mean_loss() {
  if (!mean_loss_) throw UnsupportedError("there is no model here to ask for its loss");
  return *mean_loss_;
}

}  // namespace peftlab::testing
