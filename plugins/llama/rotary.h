#pragma once

/// \file
/// Rotary positions, and the ways to stretch them beyond the length that a model was pretrained with.

#include <peftlab/batch.h>
#include <peftlab/nn/rotary.h>
#include <peftlab/params.h>

#include <cstdint>

namespace peftlab::llama {

/// How frequencies are changed.
enum class Stretch {
  none,
  linear,   ///< all divided by a factor: Chen et al., 2023, arXiv:2306.15595
  dynamic,  ///< a base that grows with the sequence ("NTK-aware"), of no effect up to the pretrained length
  llama3,   ///< the low ones divided by a factor, with a smooth passage: Grattafiori et al., 2024, arXiv:2407.21783
};

struct RotaryConfig {
  int64_t width = 0;  ///< of a head
  double theta = 10000.0;
  Stretch stretch = Stretch::none;
  double factor = 1.0;
  int64_t pretrained = 0;  ///< dynamic: max_position_embeddings; llama3: original_max_position_embeddings
  double low = 1.0;        ///< llama3: wavelengths above pretrained / low are divided by the factor
  double high = 4.0;       ///< llama3: wavelengths below pretrained / high stay
};

/// Reads rope_theta and rope_scaling, or rope_parameters. Problems are kept in `params`, those of the nested table as
/// "rope_scaling.factor".
/// `max_positions`: max_position_embeddings.
RotaryConfig read_rotary(Params& params, int64_t head_width, int64_t max_positions);

class Rotary {
 public:
  explicit Rotary(const RotaryConfig& config);

  /// positions int64 [total] of rows that lie as `layout` says -> angles [total, width], float32 on the CPU.
  ///
  /// A dynamic base is that of the sequence's own length, its last position here + 1. Keys in a cache keep the angles
  /// they were stored with, as in transformers.
  RotaryAngles angles(const torch::Tensor& positions, const Layout& layout) const;

  /// float32 [width / 2], of a sequence of `length` positions.
  torch::Tensor frequencies(int64_t length) const;

 private:
  RotaryConfig config_;
  torch::Tensor usual_;  ///< those of all sequences, unless the stretch is dynamic and the sequence long
};

}  // namespace peftlab::llama
