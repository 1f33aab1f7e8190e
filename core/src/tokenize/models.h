#pragma once

/// \file
/// The models of tokenizer.json: what turns a piece into ids.

#include "tokenize/entry.h"
#include "tokenize/vocabulary.h"

#include <memory>
#include <string_view>
#include <vector>

namespace peftlab::tokenize {

/// Safe to use from several threads.
class TokenModel {
 public:
  virtual ~TokenModel() = default;

  /// Appends the ids of `piece`, valid UTF-8 and not empty. Throws: FormatError if it needs the piece for unknown
  /// characters and the vocabulary has none.
  virtual void encode(std::string_view piece, std::vector<int64_t>& ids) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }

 protected:
  Vocabulary vocabulary_;
};

/// Byte-pair encoding. Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL 2016.
std::unique_ptr<TokenModel> read_bpe(const Entry& entry);

/// The longest known piece first. Source: Wu et al., "Google's Neural Machine Translation System", 2016, arXiv:1609.08144.
std::unique_ptr<TokenModel> read_word_piece(const Entry& entry);

/// The most probable cutting. Source: Kudo, "Subword Regularization", ACL 2018, arXiv:1804.10959.
std::unique_ptr<TokenModel> read_unigram(const Entry& entry);

/// Each piece is a word of the vocabulary.
std::unique_ptr<TokenModel> read_word_level(const Entry& entry);

/// Any of them, by its "type", or without one by what it holds. Throws: FormatError.
std::unique_ptr<TokenModel> read_token_model(const Entry& entry);

}  // namespace peftlab::tokenize
