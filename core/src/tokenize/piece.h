#pragma once

/// \file
/// A stretch of the text on its way through normalizers and pre-tokenizers.

#include "tokenize/pattern.h"

#include <algorithm>
#include <string>
#include <vector>

namespace peftlab::tokenize {

/// Text that remembers whether it stems from the very start of the original: Metaspace's scheme "first" asks that.
struct Piece {
  std::string text;
  size_t head = 0;        ///< the first `head` bytes of text stem from the original text's first character
  bool is_first = false;  ///< when it was last cut out, it began with the original text's start

  /// The bytes [begin, end) as a piece of their own.
  Piece slice(size_t begin, size_t end) const {
    const size_t part = head > begin ? std::min(head, end) - begin : 0;
    return {text.substr(begin, end - begin), part, part > 0};
  }
};

/// Replaces every character of a piece by what `write(out, code)` appends for it, which may be nothing.
template <typename Write>
void rewrite(Piece& piece, Write write);

/// Replaces what `pattern` finds by `content`.
void replace(Piece& piece, const Pattern& pattern, const std::string& content);

/// Puts `text` in front, unless the piece is empty.
void prepend(Piece& piece, const std::string& text);

/// The 256 characters that stand for bytes in a byte-level vocabulary, in UTF-8.
const std::string& byte_character(unsigned char byte);
/// The byte that `code` stands for, or -1.
int byte_of(char32_t code);
/// Each byte of the piece as its character.
void to_byte_characters(Piece& piece);

}  // namespace peftlab::tokenize

#include "tokenize/utf8.h"

template <typename Write>
void peftlab::tokenize::rewrite(Piece& piece, Write write) {
  std::string out;
  out.reserve(piece.text.size());
  size_t head = 0;
  for (size_t at = 0; at < piece.text.size();) {
    const bool in_head = at < piece.head;
    write(out, next_code_point(piece.text, at));
    if (in_head) head = out.size();
  }
  piece.text = std::move(out);
  piece.head = head;
}
