#pragma once

/// \file
/// Picture files to pixels.

#include "resize.h"

#include <string>

namespace peftlab::image_text {

/// The picture in `bytes`, the content of a PNG, JPEG, WebP, BMP, TIFF or PNM file, as 8-bit RGB: of 16 bits the upper
/// 8 are taken, grey becomes RGB, and what an alpha channel lets through is white. A JPEG's note on how it is to be
/// turned is not followed, as Pillow does not.
/// Throws: FormatError with what is wrong (it does not know the file's name).
Picture decode(const std::string& bytes);

}  // namespace peftlab::image_text
