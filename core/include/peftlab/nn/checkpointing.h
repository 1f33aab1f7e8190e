#pragma once

/// \file
/// Gradient checkpointing: what a block saves for the backward pass is not kept, but computed again when it is needed.

#include <peftlab/export.h>

#include <torch/types.h>

#include <cstdint>
#include <functional>

namespace peftlab {

/// While one lives, the blocks this thread runs through checkpointed() keep their input alone for the backward pass. It
/// need not live during that pass.
class PEFTLAB_API Checkpointing {
 public:
  Checkpointing();
  ~Checkpointing();
  Checkpointing(const Checkpointing&) = delete;
  Checkpointing& operator=(const Checkpointing&) = delete;

  /// Whether one lives on this thread.
  static bool is_on();
  /// How many blocks this thread has run through checkpointed() since this was made: 0 of a model that has none.
  int64_t blocks() const;

 private:
  int64_t before_;
};

/// block(x). Under a Checkpointing the block is run a second time in the backward pass, with the random numbers and in
/// the mixed precision of the first, and the random stream goes on as if it had not been. All gradients are, bit for
/// bit, what they are without: also those of what the block captures.
///
/// Requires: `block` owns all it uses, computes the same tensors from the same input and random numbers each time, and
///           leaves nothing behind that a second run would spoil. A block within a block is part of the outer one.
/// Throws:   Error, from the backward pass, if the second run saves other tensors than the first.
PEFTLAB_API torch::Tensor checkpointed(const torch::Tensor& x,
                                       const std::function<torch::Tensor(const torch::Tensor&)>& block);

}  // namespace peftlab
