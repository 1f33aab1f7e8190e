#pragma once

/// \file
/// What kind of character a code point is, in the eyes of Hugging Face's `tokenizers`, and the normalization forms.
///
/// That library takes its tables from several others, each with a Unicode version of its own, so that one question has
/// different answers in different places. ICU (Debian 12: Unicode 15.0) answers here, narrowed to the characters of an
/// older version or widened by those added since, as the function's comment says.

#include <string>
#include <string_view>

namespace peftlab::tokenize {

/// One range of code points that Unicode 15.0 to 16.0 added, with the general category of all in it, such as "Lo".
struct UnicodeAddition {
  char32_t first, last;
  const char* category;
};
extern const UnicodeAddition kUnicodeAdditions[];
extern const size_t kUnicodeAdditionCount;

/// White_Space; the 25 characters have not changed since Unicode 6.3.
bool is_white_space(char32_t code);

/// A character of \w in Rust's `regex` (UTS 18): Alphabetic, a mark, a decimal digit, connector punctuation or a joiner,
/// in Unicode 16.0.
bool is_word(char32_t code);

/// A number of any kind (Nd, Nl, No), in Unicode 17.0, as Rust's char::is_numeric.
bool is_numeric(char32_t code);

/// ASCII punctuation and symbols, and punctuation in Unicode 8.0.
bool is_punctuation(char32_t code);

/// Control, format and private-use characters (Cc, Cf, Co) in Unicode 8.0.
bool is_control(char32_t code);

/// Nonspacing marks (Mn) in Unicode 8.0.
bool is_nonspacing_mark(char32_t code);

/// Marks (Mn, Mc, Me) in Unicode 9.0.
bool is_mark(char32_t code);

/// Appends the lower-case form of `code` alone, without regard to what stands around it, in Unicode 17.0.
void append_lower_case(std::string& text, char32_t code);

enum class NormalForm { nfc, nfd, nfkc, nfkd };

/// `text` (valid UTF-8) in a normalization form of Unicode 12.0: characters added later stay, and end a sequence.
std::string normalized(NormalForm form, const std::string& text);

}  // namespace peftlab::tokenize
