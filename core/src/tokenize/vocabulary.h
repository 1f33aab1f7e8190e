#pragma once

/// \file
/// Pieces and their ids.

#include "tokenize/entry.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace peftlab::tokenize {

/// Pieces to ids and back. Ids may have gaps.
class Vocabulary {
 public:
  Vocabulary() = default;
  /// A table of pieces to ids. Throws: FormatError if an id is no such number.
  explicit Vocabulary(const Entry& entry);

  void set(const std::string& piece, int64_t id) {
    ids_[piece] = id;
    pieces_[id] = piece;
  }

  /// The id of `piece`, or -1.
  int64_t find(std::string_view piece) const {
    const auto found = ids_.find(piece);
    return found == ids_.end() ? -1 : found->second;
  }

  /// The piece of `id`, or nullptr.
  const std::string* piece(int64_t id) const {
    const auto found = pieces_.find(id);
    return found == pieces_.end() ? nullptr : &found->second;
  }

  /// The number of different pieces.
  int64_t count() const { return static_cast<int64_t>(ids_.size()); }
  /// One more than the largest id.
  int64_t end() const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };

  std::unordered_map<std::string, int64_t, Hash, std::equal_to<>> ids_;
  std::unordered_map<int64_t, std::string> pieces_;
};

/// The piece that stands for one byte where a model falls back to bytes: "<0x0A>".
std::string byte_piece(unsigned char byte);

}  // namespace peftlab::tokenize
