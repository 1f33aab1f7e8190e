#pragma once

/// \file
/// Session -> Scores: loss, answers and likelihoods over one split, each computed once and shared by all metrics.

#include "attach/session.h"
#include "evaluate/generate.h"
#include "train/feed.h"

#include <peftlab/dataset.h>
#include <peftlab/metric.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::evaluate {

struct JudgeOptions {
  int64_t batch_size = 32;  ///< sequences computed at once
  int64_t max_length = 0;   ///< tokens of an encoded example; 0: what the model holds
  GenerationOptions generation;
  train::SharedFeatures shared = {};  ///< of this split
};

/// A model on one split of data: answers in words by generating them, the classes of a classifier by its head, those of a
/// data set with choices by the likeliest of their texts. The session's model is used as it stands, not training, in its own type.
class ModelJudge final : public Judged {
 public:
  ModelJudge(attach::Session& session, const Dataset& data, const JudgeOptions& options);

  int64_t size() const override { return data_.size(); }
  /// Throws: FormatError naming the place of an example whose label is none of a classifier's.
  const std::vector<std::vector<std::optional<std::string>>>& references() const override;
  const std::vector<std::string>& predictions() override;
  std::vector<Likelihood> likelihoods(const std::vector<Candidate>& candidates) override;
  double mean_loss() override { return loss().value; }

  /// The mean of -log p over all labelled tokens of the split, with each example's own sum in `per_item`.
  Score loss();

  /// Whether answers are names of classes: the model is a classifier, or the data set gives choices.
  bool classifies() const { return !session_.model->facts().labels.empty() || !choices_.empty(); }

 private:
  std::vector<std::string> classify();
  /// Of a classifier: the logits of every example, float32 [examples, classes] on the CPU.
  const torch::Tensor& class_logits();
  /// The hidden states that tell the classes of these examples, [examples, hidden].
  torch::Tensor class_rows(const std::vector<int64_t>& indices);
  /// Those of all, group after group, on the CPU, where other runs can use them too; else undefined.
  torch::Tensor shared_class_rows(const std::vector<std::vector<int64_t>>& groups);
  /// -log p of each example of `feed` that has the class it is labelled with, if that is all that is labelled in it.
  std::optional<torch::Tensor> class_losses(const train::Feed& feed);
  std::vector<std::string> choose_likeliest();
  std::vector<Likelihood> likelihoods_by_prompt(const std::vector<Candidate>& candidates,
                                                const std::vector<std::vector<int64_t>>& answers);
  std::vector<Likelihood> likelihoods_whole(const std::vector<Candidate>& candidates,
                                            const std::vector<Encoded>& encoded);

  attach::Session& session_;
  const Dataset& data_;
  JudgeOptions options_;
  train::Feed prompts_;
  std::vector<Choice> choices_;
  mutable std::vector<std::vector<std::optional<std::string>>> references_;  ///< once they were asked for
  std::optional<std::vector<std::string>> predictions_;
  torch::Tensor class_logits_;  ///< once they were asked for
  std::optional<Score> loss_;
};

/// `loss`, then what the metrics give, in their order.
std::vector<Score> scores(ModelJudge& judge, const std::vector<std::unique_ptr<Metric>>& metrics);

/// Predictions and references without a model, as in `peftlab score`.
class TextJudge final : public Judged {
 public:
  TextJudge(std::vector<std::string> predictions, std::vector<std::vector<std::optional<std::string>>> references)
      : predictions_(std::move(predictions)), references_(std::move(references)) {}

  int64_t size() const override { return static_cast<int64_t>(predictions_.size()); }
  const std::vector<std::vector<std::optional<std::string>>>& references() const override { return references_; }
  const std::vector<std::string>& predictions() override { return predictions_; }
  std::vector<Likelihood> likelihoods(const std::vector<Candidate>& candidates) override;
  double mean_loss() override;

 private:
  std::vector<std::string> predictions_;
  std::vector<std::vector<std::optional<std::string>>> references_;
};

}  // namespace peftlab::evaluate
