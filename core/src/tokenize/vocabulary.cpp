#include "tokenize/vocabulary.h"

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::tokenize {

Vocabulary::Vocabulary(const Entry& entry) {
  const Table& table = entry.table();
  ids_.reserve(table.size());
  pieces_.reserve(table.size());
  for (const auto& [piece, value] : table) {
    // Only an id that is none pays for an Entry with its place.
    const int64_t* id = value.get_if<int64_t>();
    if (!id || *id < 0 || *id >= INT32_MAX) entry.at(piece).id();
    set(piece, *id);
  }
}

int64_t Vocabulary::end() const {
  int64_t end = 0;
  for (const auto& [id, piece] : pieces_) end = std::max(end, id + 1);
  return end;
}

std::string byte_piece(unsigned char byte) { return fmt::format("<0x{:02X}>", byte); }

}  // namespace peftlab::tokenize
