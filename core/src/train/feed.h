#pragma once

/// \file
/// From a data set to batches: examples are made ids once, pictures are decoded in the background a batch ahead, and
/// what a frozen front makes of a picture is computed once. It is computed in groups that do not depend on what was asked
/// for before (a row of a product may round otherwise beside other rows), so that a run that goes on has the same bits.

#include <peftlab/batch.h>
#include <peftlab/dataset.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>

#include <cstdint>
#include <future>
#include <optional>
#include <unordered_map>
#include <vector>

namespace peftlab::train {

class Feed {
 public:
  /// Encodes every example; those of a packed data set become rows of `max_length` tokens that go on from text to text,
  /// each label the next token of its row. `with_target` false: prompts alone, to be answered, never packed. The
  /// arguments must outlive the feed. `max_length`: 0 means what the model holds beside taken_positions().
  /// Throws: ConfigError if it is more than that; FormatError naming the place of an example that cannot be encoded.
  Feed(const Dataset& data, Model& model, const Tokenizer& tokenizer, int64_t max_length, torch::Device device,
       bool with_target = true, bool packed = false);

  int64_t size() const { return static_cast<int64_t>(encoded_.size()); }
  const Encoded& encoded(int64_t index) const { return encoded_.at(index); }
  /// Positions of example `index` that carry a label.
  int64_t labelled(int64_t index) const { return labelled_.at(index); }

  /// How long batch() took for pictures so far: waiting until they are decoded, and making features of them.
  double picture_seconds() const { return picture_seconds_; }

  /// From now on a frozen front computes pictures in groups of `size` in this order of all examples: the one in which they
  /// are first asked for, so that no picture is computed that nobody wants. Without it: 8 in the order of the data set.
  void group_pictures(const std::vector<int64_t>& order, int64_t size);

  /// Begins to decode the pictures of a coming batch; batch() then waits for them only if they are not ready.
  void prefetch(const std::vector<int64_t>& indices);

  /// The batch of these examples on the device, with pictures or, where the front is frozen, their features.
  Batch batch(const std::vector<int64_t>& indices);

  /// The picture part of a batch for any ids: `encoded` belongs to the examples `indices`.
  Batch batch(const std::vector<int64_t>& indices, const std::vector<Encoded>& encoded);

 private:
  struct Prefetched {
    std::vector<int64_t> indices;
    std::future<std::vector<torch::Tensor>> images;
  };

  void add_pictures(const std::vector<int64_t>& pictured, Batch& batch);
  /// The features of all pictures fit into memory set aside for them. Else none are kept.
  bool keeps_features();
  /// The groups, by number, of which a picture's features are wanted for these examples and not there.
  std::vector<int64_t> missing_groups(const std::vector<int64_t>& pictured) const;
  /// What add_pictures() will decode for these examples.
  std::vector<int64_t> to_decode(const std::vector<int64_t>& pictured);
  std::vector<torch::Tensor> decoded(const std::vector<int64_t>& indices);
  torch::Tensor features(const std::vector<torch::Tensor>& images);
  std::vector<torch::Tensor> load(const std::vector<int64_t>& indices);
  void add(Encoded encoded);
  void add_packed(const Tokenizer& tokenizer, int64_t max_length);

  const Dataset& data_;
  Model& model_;
  torch::Device device_;
  std::vector<Encoded> encoded_;
  std::vector<int64_t> labelled_;
  Prefetched ahead_;
  std::vector<std::vector<int64_t>> groups_;             ///< examples with pictures
  std::vector<int64_t> group_of_;                        ///< by example; -1: it has no picture
  std::optional<bool> keeps_features_;                   ///< once it is known how large they are
  std::unordered_map<int64_t, torch::Tensor> features_;  ///< by example, on the CPU
  double picture_seconds_ = 0.0;
};

}  // namespace peftlab::train
