#include "tokenize/utf8.h"

#include <algorithm>
#include <cstring>

namespace peftlab::tokenize {
namespace {

unsigned byte_at(std::string_view bytes, size_t at) { return static_cast<unsigned char>(bytes[at]); }

/// A sequence that starts at some byte: how many bytes belong together, and whether they are a whole code point.
struct Sequence {
  size_t length;
  bool whole;
};

/// Table 3-7 of the Unicode standard: which second byte may follow which first one.
Sequence sequence_at(std::string_view bytes, size_t at) {
  const unsigned first = byte_at(bytes, at);
  if (first < 0x80) return {1, true};
  if (first < 0xC2 || first > 0xF4) return {1, false};
  const size_t wanted = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  unsigned low = 0x80, high = 0xBF;
  if (first == 0xE0) low = 0xA0;
  if (first == 0xED) high = 0x9F;
  if (first == 0xF0) low = 0x90;
  if (first == 0xF4) high = 0x8F;
  size_t length = 1;
  for (; length < wanted && at + length < bytes.size(); ++length) {
    const unsigned next = byte_at(bytes, at + length);
    if (next < low || next > high) return {length, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, length == wanted};
}

/// The place of the first byte from `at` on that is not ASCII, eight at a time.
size_t skip_ascii(std::string_view bytes, size_t at) {
  for (uint64_t block; at + sizeof block <= bytes.size(); at += sizeof block) {
    std::memcpy(&block, bytes.data() + at, sizeof block);
    if (block & 0x8080808080808080u) break;
  }
  while (at < bytes.size() && byte_at(bytes, at) < 0x80) ++at;
  return at;
}

}  // namespace

char32_t next_code_point(std::string_view text, size_t& at) {
  const unsigned first = byte_at(text, at);
  if (first < 0x80) {
    ++at;
    return first;
  }
  const size_t length = code_point_length(text[at]);
  char32_t code = first & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) code = code << 6 | (byte_at(text, at + i) & 0x3F);
  at += length;
  return code;
}

char32_t previous_code_point(std::string_view text, size_t& end) {
  do --end;
  while ((byte_at(text, end) & 0xC0) == 0x80);
  size_t at = end;
  return next_code_point(text, at);
}

void append_code_point(std::string& text, char32_t code) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else if (code < 0x10000) {
    text += static_cast<char>(0xE0 | code >> 12);
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xF0 | code >> 18);
    text += static_cast<char>(0x80 | (code >> 12 & 0x3F));
    text += static_cast<char>(0x80 | (code >> 6 & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

size_t count_code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; });
}

bool is_valid_utf8(std::string_view bytes) {
  for (size_t at = skip_ascii(bytes, 0); at < bytes.size(); at = skip_ascii(bytes, at)) {
    const Sequence found = sequence_at(bytes, at);
    if (!found.whole) return false;
    at += found.length;
  }
  return true;
}

std::string repaired_utf8(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Sequence found = sequence_at(bytes, at);
    if (found.whole) {
      out.append(bytes.substr(at, found.length));
    } else {
      out += "\xEF\xBF\xBD";
    }
    at += found.length;
  }
  return out;
}

}  // namespace peftlab::tokenize
