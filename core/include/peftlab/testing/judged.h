#pragma once

/// \file
/// What tests of metrics share: a split whose answers and likelihoods are written down, and a metric as the program
/// makes it.

#include <peftlab/export.h>
#include <peftlab/metric.h>
#include <peftlab/testing/plugins.h>
#include <peftlab/value.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::testing {

/// A split without a model.
class PEFTLAB_API ToyJudged final : public Judged {
 public:
  using References = std::vector<std::vector<std::optional<std::string>>>;
  using Likely = std::function<Likelihood(const Candidate&)>;

  /// `likely` may be left out where no metric asks for it; asking then throws UnsupportedError, as where a metric is
  /// given predictions only.
  ToyJudged(std::vector<std::string> predictions, References references, Likely likely = nullptr);

  int64_t size() const override;
  const References& references() const override { return references_; }
  const std::vector<std::string>& predictions() override { return predictions_; }
  std::vector<Likelihood> likelihoods(const std::vector<Candidate>& candidates) override;
  double mean_loss() override;
  void set_mean_loss(double loss) { mean_loss_ = loss; }

  /// Every candidate asked for so far, in order.
  const std::vector<Candidate>& asked() const { return asked_; }

 private:
  std::vector<std::string> predictions_;
  References references_;
  Likely likely_;
  std::vector<Candidate> asked_;
  std::optional<double> mean_loss_;
};

}  // namespace peftlab::testing
