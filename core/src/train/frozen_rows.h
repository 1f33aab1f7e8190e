#pragma once

/// \file
/// The last hidden states of a model of which nothing but the head is trained: computed once for all epochs.

#include "train/feed.h"

#include <peftlab/model.h>

#include <cstdint>
#include <memory>
#include <vector>

namespace peftlab::train {

/// Rows are computed in groups of examples of about one length, whatever the order they are asked for in: so they are the
/// same bits in every epoch, and after a resume.
class FrozenRows {
 public:
  /// Empty unless hidden() is a pure function of each example: nothing on the way is trained or extended, nothing is drawn
  /// (drop-out), and an example gives the same rows alone as among others; and unless the rows fit into memory set aside
  /// for them. Computes one group to find out. `model` is training. Both must outlive the result.
  static std::unique_ptr<FrozenRows> where_possible(Model& model, Feed& feed, int64_t group_size);

  /// The labelled rows of these examples, [labelled, hidden], and their labels, int64 [labelled].
  struct Labelled {
    torch::Tensor rows, labels;
  };
  Labelled of(const std::vector<int64_t>& examples);

 private:
  FrozenRows(Model& model, Feed& feed, int64_t group_size);
  torch::Tensor computed(const std::vector<int64_t>& examples);
  void make(int64_t group);

  Model& model_;
  Feed& feed_;
  const int64_t group_size_;
  std::vector<int64_t> order_;  ///< examples by length
  std::vector<int64_t> place_;  ///< of an example in order_
  std::vector<int64_t> first_;  ///< of an example: its first row
  std::vector<bool> made_;      ///< by group
  torch::Tensor rows_;          ///< [all labelled, hidden], example after example in order_
};

}  // namespace peftlab::train
