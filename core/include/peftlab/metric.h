#pragma once

/// \file
/// What a plugin of kind "metric" implements: numbers about one split of the data and the model that is judged on it.

#include <peftlab/export.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// A text whose likelihood is asked for as the answer to an example's prompt (and picture).
struct Candidate {
  int64_t example = 0;  ///< index in the split
  std::string text;
};

/// The log-likelihood of a candidate under the model: the sum over its tokens (natural logarithm) and their number.
struct Likelihood {
  double log_probability = 0.0;
  int64_t tokens = 0;
};

/// What a metric may ask. What is dear is computed when it is first asked for and shared by all metrics of a run.
class PEFTLAB_API Judged {
 public:
  virtual ~Judged();

  /// Number of examples in the split.
  virtual int64_t size() const = 0;
  /// The reference texts of every example, at least one each; nullopt is a reference that is missing.
  virtual const std::vector<std::vector<std::optional<std::string>>>& references() const = 0;
  /// What the model answers to every example: by greedy decoding unless the run says otherwise; of a classifier, and
  /// where the data set gives choices, the name of the likeliest class (references are then names of classes too).
  virtual const std::vector<std::string>& predictions() = 0;
  /// How likely the model holds each candidate, in the candidates' order.
  /// Throws: UnsupportedError where there is no model, as in `peftlab score`.
  virtual std::vector<Likelihood> likelihoods(const std::vector<Candidate>& candidates) = 0;
  /// The mean over all labelled tokens of the split of -log p, in nats. Throws: UnsupportedError where there is no model.
  virtual double mean_loss() = 0;
};

/// One number, with all its digits.
struct Score {
  std::string name;
  double value = 0.0;
  int64_t n_items = 0;           ///< examples it was computed over
  bool higher_is_better = true;
  std::string detail;            ///< such as sacreBLEU's signature, or the rule wrong candidates were drawn by
  std::vector<double> per_item;  ///< its parts, one an example, where the metric is a mean of such; may be empty

  bool operator==(const Score&) const = default;
};

/// Made from its options; judges any number of splits. The first score it returns is named like the plugin, is the one
/// `primary` means.
class PEFTLAB_API Metric {
 public:
  virtual ~Metric();

  /// The scores of one split of at least one example.
  virtual std::vector<Score> compute(Judged& judged) = 0;
};

}  // namespace peftlab
