#pragma once

/// \file
/// Tokens that are found in the text before the model sees it, special ones among them.

#include "tokenize/flat_table.h"
#include "tokenize/models.h"
#include "tokenize/normalize.h"

#include <set>
#include <string>
#include <unordered_map>
#include <vector>

namespace peftlab::tokenize {

struct AddedToken {
  std::string content;
  bool single_word = false;  ///< only where no word character touches it
  bool lstrip = false;       ///< takes the white space before it
  bool rstrip = false;       ///< takes the white space behind it
  bool normalized = false;   ///< looked for in the normalized text, normalized itself
  bool special = false;      ///< left out of decoded text
};

/// A piece of the text that an added token claimed, or one that is still to be cut up (id -1).
struct Claim {
  Piece piece;
  int64_t id = -1;
};

class AddedTokens {
 public:
  /// Reads "added_tokens". A token that the model's vocabulary holds has its id there; others follow the vocabulary, in
  /// the order of the file, whatever id the file says: so Hugging Face's `tokenizers` does.
  AddedTokens(const std::vector<Entry>& entries, const TokenModel& model, const Normalizer* normalizer);

  /// The text in order: tokens, and the normalized stretches between them. Nothing is empty.
  std::vector<Claim> cut(const std::string& text, const Normalizer* normalizer) const;

  /// The id of the added token written `content`, or -1.
  int64_t find(const std::string& content) const;
  /// The content of an added token, or nullptr.
  const std::string* content(int64_t id) const;
  bool is_special(const std::string& content) const { return special_.contains(content); }
  /// One more than the largest id of an added token.
  int64_t end() const { return end_; }

 private:
  void add(const AddedToken& token, const TokenModel& model);
  std::vector<Claim> cut(const Piece& piece, const ByteTrie& trie) const;

  std::unordered_map<std::string, int64_t> ids_;
  std::unordered_map<int64_t, AddedToken> tokens_;
  std::set<std::string> special_;
  ByteTrie raw_, normalized_;
  int64_t next_ = 0, end_ = 0;
};

}  // namespace peftlab::tokenize
