#pragma once

/// \file
/// The line of JSON that bitsandbytes puts beside the codes of a 4-bit weight.

#include <peftlab/nn/weight_storage.h>

#include <array>
#include <string>

namespace peftlab {

/// What the name of its tensor starts with; the rest is "nf4" or "fp4".
inline const std::string kQuantStatePrefix = "weight.quant_state.bitsandbytes__";

struct QuantState {
  QuantizationFormat format;
  torch::ScalarType dtype = torch::kFloat32;  ///< of the weight before
  std::array<int64_t, 2> shape{};             ///< of the weight before, [out, in]
  float offset = 0;                           ///< of the scales, with double quantization only

  /// As Python's json.dumps writes it.
  std::string text() const;
  /// Throws: FormatError that starts with `name` for anything but such a line.
  static QuantState parse(const std::string& text, const std::string& name);
};

}  // namespace peftlab
