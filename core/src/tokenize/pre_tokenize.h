#pragma once

/// \file
/// The pre-tokenizers of tokenizer.json.

#include "tokenize/entry.h"
#include "tokenize/piece.h"

#include <memory>
#include <string_view>
#include <vector>

namespace peftlab::tokenize {

/// What becomes of a stretch that a pattern found.
enum class Behavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

/// Reads "Removed", "Isolated", "MergedWithPrevious", "MergedWithNext" or "Contiguous". Throws: FormatError.
Behavior read_behavior(const Entry& entry);

/// The stretches that are left, as [begin, end) in bytes; some may be empty.
std::vector<Stretch> split(const std::vector<Stretch>& stretches, Behavior behavior);

/// Cuts a text into pieces that a model takes one by one. Safe to use from several threads.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  /// Cuts each of `pieces`; none is empty, before or after.
  virtual void apply(std::vector<Piece>& pieces) const = 0;
};

/// Reads Sequence, ByteLevel, Split, BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits, Metaspace,
/// CharDelimiterSplit or FixedLength. Throws: FormatError that names another kind, or what is wrong with this one.
std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Entry& entry);

/// The schemes of Metaspace: when its character is put in front.
enum class PrependScheme { first, never, always };
/// Reads "prepend_scheme" and the older "add_prefix_space" of a Metaspace. Throws: FormatError.
PrependScheme read_prepend_scheme(const Entry& entry);

}  // namespace peftlab::tokenize
