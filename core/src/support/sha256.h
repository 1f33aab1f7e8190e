#pragma once

/// \file
/// Checksums, as `sha256sum` prints them: 64 lower-case hexadecimal digits.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace peftlab {

/// The sha256 of some bytes.
std::string sha256_hex(std::string_view bytes);

/// The sha256 of a file's bytes, but for the first `from`, read in pieces. Throws: FormatError if it cannot be read to its
/// end.
std::string sha256_file(const std::filesystem::path& path, int64_t from = 0);

}  // namespace peftlab
