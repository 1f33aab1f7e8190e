#pragma once

/// \file
/// sentencepiece's normalization table, as tokenizer.json carries it.

#include "tokenize/entry.h"
#include "tokenize/piece.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::tokenize {

/// A table from short strings to their replacements: a double-array trie (the layout of darts-clone) over UTF-8 bytes,
/// whose values are places in a text of replacements that end with a zero byte.
///
/// The bytes, in base64: the size of the trie in bytes as 32 bits, the trie as 32-bit units (all little-endian), the
/// replacements.
class Precompiled {
 public:
  /// Throws: FormatError if the string is no base64 or no such table.
  explicit Precompiled(const Entry& entry);

  /// Replaces each grapheme cluster of less than 6 bytes that the table knows, and in others each known character.
  void apply(Piece& piece) const;

  /// What takes the place of `part`: the replacement of the shortest key that `part` begins with.
  std::optional<std::string_view> find(std::string_view part) const;

 private:
  void apply_to_cluster(std::string& out, std::string_view cluster) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace peftlab::tokenize
