#pragma once

/// \file
/// Text to ids and back.

#include <peftlab/export.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// A tokenizer as a model folder brings it. Safe to use from several threads at once.
class PEFTLAB_API Tokenizer {
 public:
  virtual ~Tokenizer();

  /// The ids of `text` (UTF-8), without any special tokens around them. Special tokens written in the text become their
  /// ids, as in Hugging Face's tokenizers. Bytes that are no UTF-8 count as U+FFFD, one for each maximal wrong part.
  virtual std::vector<int64_t> encode(const std::string& text) const = 0;

  /// The same with the special tokens that this tokenizer puts around a text of its own accord: `[CLS] ... [SEP]`, `<s> ...`
  /// Cut to `max_length` ids as Hugging Face's truncation does (the text is cut, the special tokens stay); 0: not cut.
  /// By default there are none.
  virtual std::vector<int64_t> encode_with_special_tokens(const std::string& text, int64_t max_length = 0) const;

  /// The text of `ids`; special tokens and ids that are no piece's are left out.
  virtual std::string decode(const std::vector<int64_t>& ids) const = 0;

  /// The id of the piece written exactly `piece`, such as "<sop>" or "[CLS]", if there is one.
  virtual std::optional<int64_t> id_of(const std::string& piece) const = 0;

  /// The number of ids the tokenizer can produce: all of them are below it.
  virtual int64_t size() const = 0;
};

}  // namespace peftlab
