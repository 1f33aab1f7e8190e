#pragma once

/// \file
/// The pictures of a feed's examples, decoded in the background, and what a frozen front makes of them, which is computed
/// once for each picture.
///
/// It is computed in groups that do not depend on what was asked for before (a row of a product may round otherwise beside
/// other rows), so that every run, and one that goes on, has the same bits.

#include "train/shared_features.h"

#include <peftlab/batch.h>
#include <peftlab/dataset.h>
#include <peftlab/model.h>

#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <unordered_map>
#include <vector>

namespace peftlab::train {

class Pictures {
 public:
  /// The arguments must outlive it.
  Pictures(const Dataset& data, Model& model, torch::Device device) : data_(data), model_(model), device_(device) {}

  /// Of `size` examples these have a picture, in the order of the data set. Called once, before anything else.
  void list(std::vector<int64_t> examples, int64_t size);

  /// Where the front is frozen: computes the features of all, or takes what another run made of them, if they fit into
  /// the memory that is set aside for them. From then on the front must stay as it is. Returns whether it has them.
  /// Throws: Stopped if `stop` says so.
  bool make_all(const SharedFeatures& shared, const std::function<bool()>& stop);

  /// Instead of make_all(): a frozen front computes groups of `size` in this order of all examples, the one in which they
  /// are first asked for, so that no picture is computed that nobody wants. Without either, groups are those of make_all(),
  /// each computed when it is asked for.
  void group(const std::vector<int64_t>& order, int64_t size);

  /// Whether make_all() or group() was called.
  bool is_settled() const { return is_settled_; }

  /// Whether the features of all are there, so that put_into() only reads them.
  bool has_all() const { return all_.defined(); }

  /// Begins to decode what put_into() will need for these examples.
  void prefetch(const std::vector<int64_t>& pictured);

  /// Gives the batch of these examples their pictures or, where the front is frozen, their features.
  void put_into(Batch& batch, const std::vector<int64_t>& pictured);

 private:
  struct Prefetched {
    std::vector<int64_t> indices;
    std::future<std::vector<torch::Tensor>> images;
  };
  using Groups = std::vector<std::vector<int64_t>>;

  Groups cut(const std::vector<int64_t>& examples, int64_t size) const;
  void take_groups(Groups groups);
  torch::Tensor compute_all(const Groups& groups, const torch::Tensor& first, const std::function<bool()>& stop);
  /// The features of all fit into memory set aside for them. Else none are kept.
  bool keeps_features();
  /// The groups, by number, of which a picture's features are wanted for these examples and not there.
  std::vector<int64_t> missing_groups(const std::vector<int64_t>& pictured) const;
  /// What put_into() will decode for these examples.
  std::vector<int64_t> to_decode(const std::vector<int64_t>& pictured);
  std::vector<torch::Tensor> decoded(const std::vector<int64_t>& indices);
  std::vector<torch::Tensor> load(const std::vector<int64_t>& indices) const;
  torch::Tensor features(const std::vector<torch::Tensor>& images);

  const Dataset& data_;
  Model& model_;
  torch::Device device_;
  std::vector<int64_t> examples_;  ///< that have a picture
  bool is_settled_ = false;
  Prefetched ahead_;

  torch::Tensor all_;            ///< [pictures, image tokens, hidden] on the CPU, once make_all() has them
  std::vector<int64_t> row_of_;  ///< of an example in all_; -1: it has no picture

  Groups groups_;                                        ///< examples with pictures
  std::vector<int64_t> group_of_;                        ///< by example; -1: it has no picture
  std::optional<bool> keeps_features_;                   ///< once it is known how large they are
  std::unordered_map<int64_t, torch::Tensor> features_;  ///< by example, on the CPU
};

}  // namespace peftlab::train
