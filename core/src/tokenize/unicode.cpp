#include "tokenize/unicode.h"

#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <unicode/bytestream.h>
#include <unicode/normalizer2.h>
#include <unicode/stringpiece.h>
#include <unicode/uchar.h>
#include <unicode/uniset.h>

#include <algorithm>
#include <memory>

namespace peftlab::tokenize {

const UnicodeAddition kUnicodeAdditions[] = {
#include "tokenize/unicode_additions.inc"
};
const size_t kUnicodeAdditionCount = std::size(kUnicodeAdditions);

namespace {

/// The general category of a character that Unicode 15.0 to 16.0 added, or "" for another.
std::string_view added_category(char32_t code) {
  const auto* end = std::end(kUnicodeAdditions);
  const auto* at = std::lower_bound(std::begin(kUnicodeAdditions), end, code,
                                    [](const UnicodeAddition& range, char32_t c) { return range.last < c; });
  return at != end && at->first <= code ? at->category : "";
}

uint32_t category_mask(char32_t code) { return U_GET_GC_MASK(static_cast<UChar32>(code)); }

bool is_of_age(char32_t code, int major) {
  UVersionInfo age;
  u_charAge(static_cast<UChar32>(code), age);
  return 0 < age[0] && age[0] <= major;
}

/// Upper-case letters whose lower-case form ICU of Debian 12 does not know: a range, and what to add.
struct LaterCase {
  char32_t first, last;
  int32_t distance;
};
constexpr LaterCase kLaterCases[] = {
    {0x1C89, 0x1C89, 1},      {0xA7CB, 0xA7CB, 0x264 - 0xA7CB},
    {0xA7CC, 0xA7CC, 1},      {0xA7CE, 0xA7CE, 1},
    {0xA7D2, 0xA7D2, 1},      {0xA7D4, 0xA7D4, 1},
    {0xA7DA, 0xA7DA, 1},      {0xA7DC, 0xA7DC, 0x19B - 0xA7DC},
    {0x10D50, 0x10D65, 0x20}, {0x16EA0, 0x16EB8, 0x1B},
};

/// ICU's form, kept from characters that are newer than Unicode 12.0.
const icu::Normalizer2& normalizer(NormalForm form) {
  static const auto make = [](NormalForm wanted) -> std::unique_ptr<icu::Normalizer2> {
    static const icu::UnicodeSet known = [] {
      UErrorCode status = U_ZERO_ERROR;
      icu::UnicodeSet set(icu::UnicodeString("[:age=12.0:]"), status);
      if (U_FAILURE(status)) throw Error(std::string("ICU knows no ages of characters: ") + u_errorName(status));
      set.freeze();
      return set;
    }();
    UErrorCode status = U_ZERO_ERROR;
    const icu::Normalizer2* all = wanted == NormalForm::nfc    ? icu::Normalizer2::getNFCInstance(status)
                                  : wanted == NormalForm::nfd  ? icu::Normalizer2::getNFDInstance(status)
                                  : wanted == NormalForm::nfkc ? icu::Normalizer2::getNFKCInstance(status)
                                                               : icu::Normalizer2::getNFKDInstance(status);
    if (U_FAILURE(status)) throw Error(std::string("ICU has no normalization data: ") + u_errorName(status));
    return std::make_unique<icu::FilteredNormalizer2>(*all, known);
  };
  static const std::unique_ptr<icu::Normalizer2> forms[] = {make(NormalForm::nfc), make(NormalForm::nfd),
                                                            make(NormalForm::nfkc), make(NormalForm::nfkd)};
  return *forms[static_cast<int>(form)];
}

}  // namespace

bool is_white_space(char32_t code) {
  if (code < 0x80) return code == ' ' || (0x09 <= code && code <= 0x0D);
  return u_isUWhiteSpace(static_cast<UChar32>(code));
}

bool is_word(char32_t code) {
  constexpr uint32_t kMask = U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK;
  if (u_hasBinaryProperty(static_cast<UChar32>(code), UCHAR_ALPHABETIC) || (category_mask(code) & kMask) != 0 ||
      code == 0x200C || code == 0x200D) {
    return true;
  }
  const std::string_view added = added_category(code);
  return added.starts_with('L') || added.starts_with('M') || added == "Nd" || added == "Nl" || added == "Pc";
}

bool is_numeric(char32_t code) {
  if (code < 0x80) return '0' <= code && code <= '9';
  return (category_mask(code) & U_GC_N_MASK) != 0 || added_category(code).starts_with('N') ||
         (0x11DE0 <= code && code <= 0x11DE9) || (0x16FF4 <= code && code <= 0x16FF6);
}

bool is_punctuation(char32_t code) {
  if (code < 0x80) return 0x20 < code && code < 0x7F && !u_isalnum(static_cast<UChar32>(code));
  // These two were punctuation in Unicode 8.0 and are no longer.
  if (code == 0x166D || code == 0x111C9) return true;
  return (category_mask(code) & U_GC_P_MASK) != 0 && is_of_age(code, 8);
}

bool is_control(char32_t code) {
  constexpr uint32_t kMask = U_GC_CC_MASK | U_GC_CF_MASK | U_GC_CO_MASK;
  return (category_mask(code) & kMask) != 0 && is_of_age(code, 8);
}

bool is_nonspacing_mark(char32_t code) {
  if (code < 0x300) return false;
  if (code == 0x1734) return true;  // a spacing mark only since Unicode 14.0
  if (code == 0x1885 || code == 0x1886 || code == 0xA9BD || code == 0x111C9) return false;  // of other kinds in 8.0
  return (category_mask(code) & U_GC_MN_MASK) != 0 && is_of_age(code, 8);
}

bool is_mark(char32_t code) {
  if (code < 0x300) return false;
  if (code == 0x1CF2 || code == 0x1CF3) return true;  // letters only since Unicode 12.0
  if (code == 0x111C9) return false;                  // punctuation in 9.0
  return (category_mask(code) & U_GC_M_MASK) != 0 && is_of_age(code, 9);
}

void append_lower_case(std::string& text, char32_t code) {
  if (code < 0x80) {
    text += static_cast<char>('A' <= code && code <= 'Z' ? code + 0x20 : code);
    return;
  }
  if (code == 0x130) {  // the one letter with two characters for its lower case
    text += "i\u0307";
    return;
  }
  for (const LaterCase& later : kLaterCases) {
    if (later.first <= code && code <= later.last) return append_code_point(text, code + later.distance);
  }
  append_code_point(text, static_cast<char32_t>(u_tolower(static_cast<UChar32>(code))));
}

std::string normalized(NormalForm form, const std::string& text) {
  // Only characters from U+00C0 on (first bytes from C3 on) take part in NFC and NFD; in NFKC, U+00A0 does too.
  if (std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; })) return text;
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  normalizer(form).normalizeUTF8(0, text, sink, nullptr, status);
  if (U_FAILURE(status)) throw Error(std::string("ICU cannot normalize a text: ") + u_errorName(status));
  return out;
}

}  // namespace peftlab::tokenize
