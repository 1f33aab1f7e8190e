#pragma once

/// \file
/// The decoders of tokenizer.json.

#include "tokenize/entry.h"

#include <memory>
#include <string>
#include <vector>

namespace peftlab::tokenize {

/// A step from pieces to text. Safe to use from several threads.
class Decoder {
 public:
  virtual ~Decoder() = default;
  /// Changes the pieces in place; in the end they are put together without anything between.
  virtual void apply(std::vector<std::string>& pieces) const = 0;
};

/// Reads ByteLevel, WordPiece, Metaspace, ByteFallback, Fuse, Strip, Replace, BPEDecoder or Sequence. Throws:
/// FormatError that names another kind, or what is wrong with this one.
std::unique_ptr<Decoder> read_decoder(const Entry& entry);

}  // namespace peftlab::tokenize
