/// The sets of characters that patterns name, as PCRE2 must be told them to mean the same as Oniguruma.

#include "tokenize/pattern.h"
#include "tokenize/unicode.h"

#include <unicode/uchar.h>
#include <unicode/uscript.h>

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace peftlab::tokenize {

// PCRE2's \s holds U+180E in this version and Oniguruma's does not.
const char* const kSpaceSet =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
const char* const kNoSpaceSet =
    R"(\x{0}-\x{8}\x{E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027})"
    R"(\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";

namespace {

/// The characters of a category ("Lu") or a group of them ("L") that Unicode 15.0 to 16.0 added.
std::string additions(std::string_view category) {
  std::string set;
  for (size_t i = 0; i < kUnicodeAdditionCount; ++i) {
    const UnicodeAddition& range = kUnicodeAdditions[i];
    if (!std::string_view(range.category).starts_with(category)) continue;
    set +=
        fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", static_cast<uint32_t>(range.first), static_cast<uint32_t>(range.last));
  }
  return set;
}

constexpr std::string_view kCategories[] = {"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N", "Nd",
                                            "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "S", "Sm",
                                            "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp", "Cc", "Cf", "Co"};
constexpr struct {
  std::string_view name, category;
} kLongNames[] = {{"letter", "L"},      {"mark", "M"},   {"number", "N"},
                  {"punctuation", "P"}, {"symbol", "S"}, {"separator", "Z"}};

/// What Unicode 15.1 and 16.0 added to scripts that ICU of Debian 12 knows.
constexpr struct {
  UScriptCode script;
  const char* set;
} kScriptAdditions[] = {{USCRIPT_LATIN, R"(\x{A7CB}-\x{A7CD}\x{A7DA}-\x{A7DC})"},
                        {USCRIPT_CYRILLIC, R"(\x{1C89}-\x{1C8A})"},
                        {USCRIPT_ARABIC, R"(\x{897}\x{10EC2}-\x{10EC4}\x{10EFC})"},
                        {USCRIPT_HAN, R"(\x{2EBF0}-\x{2EE5D})"},
                        {USCRIPT_MYANMAR, R"(\x{116D0}-\x{116E3})"},
                        {USCRIPT_BALINESE, R"(\x{1B4E}-\x{1B4F}\x{1B7F})"},
                        {USCRIPT_KAWI, R"(\x{11F5A})"}};

/// The code points that `is_inside` accepts, as ranges.
template <typename IsInside>
std::string ranges(IsInside is_inside) {
  std::string set;
  UChar32 first = -1;
  for (UChar32 code = 0; code <= 0x110000; ++code) {
    const bool inside = code < 0x110000 && !(0xD800 <= code && code < 0xE000) && is_inside(code);
    if (inside && first < 0) first = code;
    if (!inside && first >= 0) {
      set += fmt::format("\\x{{{:X}}}-\\x{{{:X}}}", first, code - 1);
      first = -1;
    }
  }
  return set;
}

std::string category_set(std::string_view category) {
  // U+1171E became a spacing mark (Mc) in Unicode 16.0.
  if (category == "Mn") {
    return ranges([](UChar32 code) { return u_charType(code) == U_NON_SPACING_MARK && code != 0x1171E; }) +
           additions(category);
  }
  if (category == "Mc") return R"(\p{Mc}\x{1171E})" + additions(category);
  return fmt::format("\\p{{{}}}{}", category, additions(category));
}

}  // namespace

std::string property_set(const std::string& name) {
  for (const std::string_view category : kCategories) {
    if (name == category) return category_set(category);
  }
  std::string lower = name;
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return static_cast<char>(u_tolower(c)); });
  for (const auto& entry : kLongNames) {
    if (lower == entry.name) return category_set(entry.category);
  }
  // A script is asked of ICU, whose tables are the newer ones; ranges are what PCRE2 is handed.
  UErrorCode status = U_ZERO_ERROR;
  const int32_t script = u_getPropertyValueEnum(UCHAR_SCRIPT, name.c_str());
  // Common characters are of no script, and many are added each year.
  if (script == UCHAR_INVALID_CODE || script == USCRIPT_COMMON || script == USCRIPT_INHERITED) return "";
  std::string set = ranges([&](UChar32 code) { return uscript_getScript(code, &status) == script; });
  for (const auto& addition : kScriptAdditions) {
    if (script == addition.script) set += addition.set;
  }
  return set;
}

std::string word_set(bool with_latin_1) {
  return std::string(R"(\p{Alphabetic}\p{M}\p{Nd}\p{Pc})") +
         (with_latin_1 ? R"(\x{B2}\x{B3}\x{B9}\x{BC}-\x{BE})" : "") + additions("L") + additions("M") +
         additions("Nd") + additions("Nl") + additions("Pc");
}

std::string digit_set() { return category_set("Nd"); }

}  // namespace peftlab::tokenize
