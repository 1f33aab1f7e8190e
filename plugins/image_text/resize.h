#pragma once

/// \file
/// Resizing as Pillow does it, to the last bit.

#include <cstdint>
#include <vector>

namespace peftlab::image_text {

/// An 8-bit RGB picture, pixels [height, width, 3].
struct Picture {
  int64_t width = 0;
  int64_t height = 0;
  std::vector<uint8_t> pixels;
};

/// `picture` as width x height, its aspect ratio not kept: bicubic (a = -0.5), antialiased, in two passes with 8 bits
/// between them, the width first unless the height shrinks far more (by more than twice as many pixels).
///
/// Source: Pillow 13, Image.resize(size, BICUBIC), src/libImaging/Resample.c; equal to it bit for bit
/// (tests/oracle/pillow_resize).
Picture resize(const Picture& picture, int64_t width, int64_t height);

}  // namespace peftlab::image_text
