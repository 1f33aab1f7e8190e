#include "tokenize/piece.h"

#include <array>

namespace peftlab::tokenize {
namespace {

struct ByteTable {
  // Printable Latin-1 stands for itself; the other 68 bytes, in order, for U+0100 and on. Source: GPT-2's encoder.
  ByteTable() {
    byte_of.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      const bool is_printable = (0x21 <= byte && byte <= 0x7E) || (0xA1 <= byte && byte <= 0xFF && byte != 0xAD);
      const char32_t code = is_printable ? static_cast<char32_t>(byte) : next++;
      append_code_point(character[byte], code);
      byte_of[code] = byte;
    }
  }

  std::array<std::string, 256> character;
  std::array<int, 0x144> byte_of;
};

const ByteTable& byte_table() {
  static const ByteTable table;
  return table;
}

}  // namespace

void replace(Piece& piece, const Pattern& pattern, const std::string& content) {
  const auto stretches = pattern.cut(piece.text);
  if (std::none_of(stretches.begin(), stretches.end(), [](const Stretch& s) { return s.found; })) return;
  std::string out;
  size_t head = 0;
  for (const Stretch& stretch : stretches) {
    if (stretch.found) {
      out += content;
    } else {
      out.append(piece.text, stretch.begin, stretch.end - stretch.begin);
    }
    // What takes the place of several characters counts as the last of them.
    if (stretch.end <= piece.head) {
      head = out.size();
    } else if (stretch.begin < piece.head && !stretch.found) {
      head = out.size() - (stretch.end - piece.head);
    }
  }
  piece.text = std::move(out);
  piece.head = head;
}

void prepend(Piece& piece, const std::string& text) {
  if (piece.text.empty()) return;
  piece.text.insert(0, text);
  if (piece.head > 0) piece.head += text.size();
}

const std::string& byte_character(unsigned char byte) { return byte_table().character[byte]; }

int byte_of(char32_t code) {
  const auto& bytes = byte_table().byte_of;
  return code < bytes.size() ? bytes[code] : -1;
}

void to_byte_characters(Piece& piece) {
  const ByteTable& table = byte_table();
  std::string out;
  out.reserve(piece.text.size() * 2);
  size_t head = 0;
  for (size_t at = 0; at < piece.text.size(); ++at) {
    out += table.character[static_cast<unsigned char>(piece.text[at])];
    if (at < piece.head) head = out.size();
  }
  piece.text = std::move(out);
  piece.head = head;
}

}  // namespace peftlab::tokenize
