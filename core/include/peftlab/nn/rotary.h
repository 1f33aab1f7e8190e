#pragma once

/// \file
/// Rotary positions (Su et al., 2021, arXiv:2104.09864) in the half-split convention.

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab {

/// The cosines and sines of one row of positions: [rows, width] each, the angles of the first half repeated in the second.
struct PEFTLAB_API RotaryAngles {
  torch::Tensor cosines;
  torch::Tensor sines;

  /// positions int64 [rows]; inverse_frequencies float [width / 2].
  static RotaryAngles at(const torch::Tensor& positions, const torch::Tensor& inverse_frequencies);
};

/// 1 / base^(2 i / width) for i = 0 .. width / 2 - 1, float32.
PEFTLAB_API torch::Tensor inverse_frequencies(int64_t width, double base);

/// x [rows, heads, width]: pairs (i, i + width / 2) are turned by the row's angles, computed in the angles' type.
PEFTLAB_API torch::Tensor rotate(const torch::Tensor& x, const RotaryAngles& angles);

}  // namespace peftlab
