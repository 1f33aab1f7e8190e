#pragma once

/// \file
/// Where the parameters of new blocks come from: first values, or nothing at all where a checkpoint will fill them.

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab {

/// While one lives, blocks that this thread makes have parameters of the right shapes that hold no memory and no values,
/// so that a model of any size is described at once, and loading it never holds a second copy.
class PEFTLAB_API Blueprint {
 public:
  Blueprint();
  ~Blueprint();
  Blueprint(const Blueprint&) = delete;
  Blueprint& operator=(const Blueprint&) = delete;

  /// Whether one lives on this thread: first values are then not to be drawn.
  static bool is_drawn();
  /// Whether `parameter` was made under one and has no values yet.
  static bool describes(const torch::Tensor& parameter);
};

/// A parameter of `shape`, float32, whose values are still to be drawn; under a Blueprint one that never will be.
PEFTLAB_API torch::Tensor empty_parameter(torch::IntArrayRef shape);

}  // namespace peftlab
