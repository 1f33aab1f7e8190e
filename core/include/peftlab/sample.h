#pragma once

/// \file
/// Small files for plugins to be tried on: see sample_writer() in plugin.h.

#include <peftlab/export.h>

#include <filesystem>
#include <string_view>

namespace peftlab {

/// Writes `text` as the file `path`, and returns that. Throws: FormatError if it cannot.
PEFTLAB_API std::filesystem::path sample_file(const std::filesystem::path& path, std::string_view text);

}  // namespace peftlab
