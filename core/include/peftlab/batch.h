#pragma once

/// \file
/// The tensors that flow from a data set into a model. Nothing is padded: the sequences of a batch lie one after the
/// other in one packed row of tokens, and a Layout says where each begins.

#include <peftlab/export.h>

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace peftlab {

/// The label of a position that is not trained or scored.
inline constexpr int64_t kNoLabel = -100;

/// One example as a model sees it.
struct Encoded {
  std::vector<int64_t> tokens;
  /// labels[i] is the id that the output at position i is to predict (already shifted), kNoLabel where none.
  std::vector<int64_t> labels;
  int64_t context = 0;    ///< leading tokens that every position may see; the rest is causal. 0: all causal
  int64_t image_at = -1;  ///< position of the first image placeholder; -1: no picture
  int64_t class_at = -1;  ///< position whose output names the example's class; -1: the model has no classes
};

/// How packed sequences lie: sequence s is rows offsets[s] .. offsets[s + 1] - 1.
struct PEFTLAB_API Layout {
  std::vector<int64_t> offsets = {0};
  std::vector<int64_t> context;  ///< per sequence, as in Encoded

  int64_t sequences() const { return static_cast<int64_t>(offsets.size()) - 1; }
  int64_t total() const { return offsets.back(); }
  int64_t length(int64_t s) const { return offsets[s + 1] - offsets[s]; }
  int64_t max_length() const;
  void add(int64_t length, int64_t visible_context);

  bool operator==(const Layout&) const = default;
};

/// Sequences packed for one call of a model.
struct PEFTLAB_API Batch {
  torch::Tensor tokens;  ///< int64 [total]
  torch::Tensor labels;  ///< int64 [total], on the CPU's side of things: kNoLabel or the id to predict
  Layout layout;
  std::vector<int64_t> image_at;  ///< per sequence, as in Encoded
  /// Pictures of the sequences that have one, in order: float [pictures, 3, height, width]. Undefined where none has,
  /// or where image_features is given in their stead.
  torch::Tensor images;
  /// What Model::front() made of those pictures: [pictures, image tokens, hidden].
  torch::Tensor image_features;

  /// The same batch with its tensors on `device`.
  Batch to(torch::Device device) const;
};

/// Packs examples, in order. `images`: one [3, h, w] tensor for each example whose image_at >= 0, in order (or none at
/// all, to be set later).
PEFTLAB_API Batch pack(const std::vector<Encoded>& examples, const std::vector<torch::Tensor>& images = {});

}  // namespace peftlab
