#pragma once

/// \file
/// The regular expressions of tokenizer.json.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::tokenize {

/// A stretch of a text, in bytes, that a pattern found, or one between two that it found.
struct Stretch {
  size_t begin, end;
  bool found;
};

/// A pattern, compiled once; safe to use from several threads.
class Pattern {
 public:
  /// The text `literal` itself, which is not empty.
  static Pattern of_text(const std::string& literal);

  /// An expression in Oniguruma's syntax, the one of Hugging Face's `tokenizers`; see translate_pattern().
  /// `where` names the file and key in messages. Throws: FormatError if it is none, or uses what cannot be translated.
  static Pattern of_expression(const std::string& expression, const std::string& where);

  /// `text` (valid UTF-8), cut without a gap into what was found and what lies between. Of an empty text: one stretch,
  /// not found. Throws: FormatError if the search takes too many steps.
  std::vector<Stretch> cut(std::string_view text) const;

 private:
  struct Compiled;
  Pattern() = default;

  std::string literal_;
  std::shared_ptr<const Compiled> compiled_;
};

/// The same pattern in PCRE2's syntax, to be compiled with UTF, UCP, MULTILINE and newlines that are \n alone.
///
/// What differs between the two is replaced: (?m) is there what (?s) is here, \h is a hexadecimal digit, a set may
/// hold sets and intersections (&&), {,n} starts at 0, and \s, \d, \w and \p{...} are those of Unicode 16.0. Properties
/// that are not general categories or scripts, POSIX brackets, absent operators, calls and conditions are refused.
std::string translate_pattern(const std::string& expression, const std::string& where);

/// The inside of a PCRE2 set for Oniguruma's property `name` ("L", "Lu", "Han", ...), or nothing if there is none.
std::string property_set(const std::string& name);

/// The insides of sets for \s and for its complement.
extern const char* const kSpaceSet;
extern const char* const kNoSpaceSet;
/// The inside of a set for \w. Outside of [...], Oniguruma also counts Latin-1's superscript digits and fractions.
std::string word_set(bool with_latin_1);
/// The inside of a set for \d.
std::string digit_set();

}  // namespace peftlab::tokenize
