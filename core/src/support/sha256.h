#pragma once

/// \file
/// Checksums, as `sha256sum` prints them: 64 lower-case hexadecimal digits.

#include <filesystem>
#include <string>
#include <string_view>

namespace peftlab {

/// The sha256 of some bytes.
std::string sha256_hex(std::string_view bytes);

/// The sha256 of a file's bytes, read in pieces. Throws: FormatError if it cannot be read to its end.
std::string sha256_file(const std::filesystem::path& path);

}  // namespace peftlab
