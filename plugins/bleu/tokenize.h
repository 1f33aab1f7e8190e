#pragma once

/// \file
/// The tokenizers of sacreBLEU 2.6.0. Text goes in as UTF-8 (a byte that is none reads as U+FFFD), tokens come out so.

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::bleu {

enum class Tokenizer {
  v13a,           ///< "13a": mteval-v13a's, for text in Western scripts; the default
  zh,             ///< "zh": each Chinese character alone, the rest as 13a does
  character,      ///< "char": each code point alone
  international,  ///< "intl": mteval-v14's, by Unicode category
  none,           ///< "none": split on white space only
};

/// The tokenizer that sacreBLEU calls `name`, if it is one of these.
std::optional<Tokenizer> tokenizer_named(std::string_view name);

/// sacreBLEU's name of it.
std::string_view name_of(Tokenizer tokenizer);

/// The names there are, for messages.
std::vector<std::string> tokenizer_names();

/// The tokens of one segment, white space at its end dropped first; lower-cased before all else if `lowercase`.
std::vector<std::string> tokenize(std::string_view text, Tokenizer tokenizer, bool lowercase);

/// `text` in lower case by Unicode's full mapping without a language, as Python's str.lower() does it.
std::string lower(std::string_view text);

}  // namespace peftlab::bleu
