#pragma once

/// \file
/// From a data set to batches: examples are made ids once; their pictures come decoded, or as what a frozen front makes of
/// them.

#include "train/copy_ahead.h"
#include "train/pictures.h"
#include "train/shared_features.h"

#include <peftlab/batch.h>
#include <peftlab/dataset.h>
#include <peftlab/model.h>
#include <peftlab/tokenizer.h>

#include <cstdint>
#include <functional>
#include <string>
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

  /// Of all ids, labels and places, to name what is made of them.
  std::string sha256() const;

  /// Where what frozen parts make of these examples is kept for other runs. By default nowhere. The first batch with
  /// pictures then calls make_features(), unless group_pictures() was called.
  void share(SharedFeatures shared) { shared_ = std::move(shared); }
  const SharedFeatures& shared() const { return shared_; }

  /// Where the front is frozen, what it makes of every picture is computed now, or taken from where it is shared, unless
  /// it is too much to be kept. From then on the front must stay as it is. Returns whether there are such features now.
  /// Throws: Stopped if `stop` says so.
  bool make_features(const std::function<bool()>& stop = {}) { return pictures_.make_all(shared_, stop); }

  /// Where not all pictures will be wanted: a frozen front computes them in groups of `size` in this order of all examples,
  /// the one in which they are first asked for.
  void group_pictures(const std::vector<int64_t>& order, int64_t size) { pictures_.group(order, size); }

  /// How long batch() took for pictures so far: waiting until they are decoded, and making features of them.
  double picture_seconds() const { return picture_seconds_; }

  /// Begins to decode the pictures of a coming batch, or, where there are none to decode, to copy it to the device;
  /// batch() then waits only if it is not ready.
  void prefetch(const std::vector<int64_t>& indices);

  /// The batch of these examples on the device, with pictures or, where the front is frozen, their features. Its labels
  /// stay on the CPU.
  Batch batch(const std::vector<int64_t>& indices);

  /// The picture part of a batch for any ids: `encoded` belongs to the examples `indices`.
  Batch batch(const std::vector<int64_t>& indices, const std::vector<Encoded>& encoded);

 private:
  void add(Encoded encoded);
  void settle();
  std::vector<Encoded> encoded_of(const std::vector<int64_t>& indices) const;
  /// On the CPU.
  Batch packed(const std::vector<int64_t>& indices, const std::vector<Encoded>& encoded);
  void add_packed(const Tokenizer& tokenizer, int64_t max_length);

  const Dataset& data_;
  Model& model_;
  torch::Device device_;
  std::vector<Encoded> encoded_;
  std::vector<int64_t> labelled_;
  SharedFeatures shared_;
  Pictures pictures_;
  CopyAhead ahead_;
  double picture_seconds_ = 0.0;
};

}  // namespace peftlab::train
