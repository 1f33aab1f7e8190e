#pragma once

/// \file
/// UTF-8: code points in and out.

#include <string>
#include <string_view>

namespace peftlab::tokenize {

/// The length in bytes, 1 to 4, of the code point that starts with `first`, a first byte of valid UTF-8.
inline size_t code_point_length(char first) {
  const auto byte = static_cast<unsigned char>(first);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The code point at `at` in valid UTF-8; `at` moves behind it.
char32_t next_code_point(std::string_view text, size_t& at);

/// The last code point of `text[0, end)`, which is valid UTF-8 and not empty; `end` moves before it.
char32_t previous_code_point(std::string_view text, size_t& end);

/// Puts `code` at the end of `text`.
void append_code_point(std::string& text, char32_t code);

/// The number of code points in valid UTF-8.
size_t count_code_points(std::string_view text);

/// Whether the bytes are UTF-8 throughout: no overlong form, no surrogate, nothing above U+10FFFF.
bool is_valid_utf8(std::string_view bytes);

/// `bytes` with U+FFFD for each maximal wrong subpart (Unicode 3.9, "substitution of maximal subparts").
std::string repaired_utf8(std::string_view bytes);

}  // namespace peftlab::tokenize
