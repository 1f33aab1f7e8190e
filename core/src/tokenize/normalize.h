#pragma once

/// \file
/// The normalizers of tokenizer.json.

#include "tokenize/entry.h"
#include "tokenize/piece.h"

#include <memory>

namespace peftlab::tokenize {

/// A change of a whole text before it is cut up. Safe to use from several threads.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(Piece& piece) const = 0;
};

/// Reads Sequence, NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Replace, Prepend, BertNormalizer, Nmt,
/// Precompiled or ByteLevel. Throws: FormatError that names another kind, or what is wrong with this one.
std::unique_ptr<Normalizer> read_normalizer(const Entry& entry);

/// The pattern {"String": ...} or {"Regex": ...}. Throws: FormatError.
Pattern read_pattern(const Entry& entry);

}  // namespace peftlab::tokenize
