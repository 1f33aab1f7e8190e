#pragma once

/// \file
/// A text with places for trained vectors: "{soft:3} The caption reads {soft}".

#include <cstdint>
#include <string>
#include <vector>

namespace peftlab::prompt {

/// Words as they stand, or a number of trained vectors.
struct Piece {
  std::string words;  ///< empty where vectors stand
  int64_t soft = 0;   ///< number of vectors; 0 where words stand

  bool operator==(const Piece&) const = default;
};

/// The pieces of a text in order. `{soft:N}` stands for N vectors, `{soft}` for `tokens` of them; blanks around a place
/// belong to the words.
/// Throws: ConfigError for another text between braces, a brace without its partner, an N that is no number from 1 to
/// 99999, or where there is no place at all.
std::vector<Piece> parse_template(const std::string& text, int64_t tokens);

/// Whether `{soft}` is among the places, and so `tokens` has a meaning.
bool uses_tokens(const std::string& text);

}  // namespace peftlab::prompt
