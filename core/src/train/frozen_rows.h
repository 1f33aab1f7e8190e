#pragma once

/// \file
/// The last hidden states of a model of which nothing but the head is trained: computed once, for all epochs and, where the
/// feed's features are shared, for all runs.

#include "train/feed.h"
#include "train/loss.h"

#include <peftlab/model.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace peftlab::train {

/// Whether nothing is trained or extended but what is asked after hidden(): the head of a classifier, the output layer. (Or
/// nothing at all.)
bool only_head_is_trained(Model& model);

/// Rows are computed in groups of examples of about one length, which do not depend on the order they are asked for in: so
/// they are the same bits in every epoch, after a resume, and in every run.
class FrozenRows {
 public:
  /// Empty unless hidden() is a pure function of each example: nothing on the way is trained or extended, nothing is drawn
  /// (drop-out), and an example gives the same rows alone as among others; and unless the rows fit into memory set aside
  /// for them. Computes one group to find out, and then all that no other run has made. `model` is training. Both must
  /// outlive the result. Throws: Stopped if `stop` says so.
  static std::unique_ptr<FrozenRows> where_possible(Model& model, Feed& feed, int64_t group_size,
                                                    const std::function<bool()>& stop = {});

  /// The labelled rows of these examples and their labels.
  LabelledRows of(const std::vector<int64_t>& examples);

 private:
  FrozenRows(Model& model, Feed& feed, int64_t group_size);
  std::vector<int64_t> group(int64_t number) const;
  torch::Tensor computed(const std::vector<int64_t>& examples);
  torch::Tensor compute_all(const torch::Tensor& first, const std::function<bool()>& stop);
  Table made_from() const;

  Model& model_;
  Feed& feed_;
  const int64_t group_size_;
  std::vector<int64_t> order_;  ///< examples by length
  std::vector<int64_t> first_;  ///< of an example: its first row
  int64_t n_rows_ = 0;          ///< labelled positions of all examples
  torch::Tensor rows_;          ///< [all labelled, hidden], example after example in order_
};

}  // namespace peftlab::train
