#include "tokenize.h"

#include <unicode/locid.h>
#include <unicode/uchar.h>
#include <unicode/unistr.h>

#include <algorithm>
#include <array>
#include <utility>

namespace peftlab::bleu {
namespace {

using Text = std::u32string;
using View = std::u32string_view;

constexpr std::array<std::pair<std::string_view, Tokenizer>, 5> kNames = {{
    {"13a", Tokenizer::v13a},
    {"zh", Tokenizer::zh},
    {"char", Tokenizer::character},
    {"intl", Tokenizer::international},
    {"none", Tokenizer::none},
}};

icu::UnicodeString from_utf8(std::string_view text) {
  return icu::UnicodeString::fromUTF8(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())));
}

Text code_points(const icu::UnicodeString& text) {
  Text result(static_cast<size_t>(text.countChar32()), U'\0');
  UErrorCode status = U_ZERO_ERROR;  // the buffer is as long as it must be: nothing can fail
  text.toUTF32(reinterpret_cast<UChar32*>(result.data()), static_cast<int32_t>(result.size()), status);
  return result;
}

std::string to_utf8(View text) {
  std::string result;
  icu::UnicodeString::fromUTF32(reinterpret_cast<const UChar32*>(text.data()), static_cast<int32_t>(text.size()))
      .toUTF8String(result);
  return result;
}

/// What Python's str.split() and str.strip() take for white space.
bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_digit(char32_t c) {
  return c >= U'0' && c <= U'9';
}

bool is_dot_or_comma(char32_t c) {
  return c == U'.' || c == U',';
}

/// ASCII punctuation that stands alone wherever it is: all but the apostrophe, comma, hyphen and full stop; and the
/// space, which changes nothing.
bool is_split_off(char32_t c) {
  return (c >= 0x20 && c <= 0x26) || (c >= 0x28 && c <= 0x2B) || c == 0x2F || (c >= 0x3A && c <= 0x40) ||
         (c >= 0x5B && c <= 0x60) || (c >= 0x7B && c <= 0x7E);
}

/// What sacreBLEU's "zh" holds for a Chinese character. U+2001 to U+2A6D are among them because two of its ranges are
/// written with five digits after \u, of which Python reads four; so curly quotes, arrows and dingbats are split too.
bool is_chinese(char32_t c) {
  static constexpr std::array<std::pair<char32_t, char32_t>, 13> kRanges = {{
      {0x2001, 0x2A6D}, {0x2E80, 0x2FDF}, {0x2FF0, 0x303F}, {0x3100, 0x312F}, {0x31A0, 0x31EF},
      {0x3200, 0x4DB5}, {0x4E00, 0x9FBB}, {0xF900, 0xFA2D}, {0xFA30, 0xFA6A}, {0xFA70, 0xFAD9},
      {0xFE10, 0xFE1F}, {0xFE30, 0xFE4F}, {0xFF00, 0xFFEF},
  }};
  return std::any_of(kRanges.begin(), kRanges.end(), [c](const auto& r) { return r.first <= c && c <= r.second; });
}

bool in_category(char32_t c, uint32_t mask) {
  return (U_GET_GC_MASK(static_cast<UChar32>(c)) & mask) != 0;
}
bool is_number(char32_t c) {
  return in_category(c, U_GC_N_MASK);
}
bool is_punctuation(char32_t c) {
  return in_category(c, U_GC_P_MASK);
}
bool is_symbol(char32_t c) {
  return in_category(c, U_GC_S_MASK);
}

/// Puts a space on both sides of each code point that `alone` picks.
template <typename Predicate>
Text isolate(View text, Predicate alone) {
  Text result;
  result.reserve(2 * text.size());
  for (const char32_t c : text) {
    if (alone(c)) {
      result += U' ';
      result += c;
      result += U' ';
    } else {
      result += c;
    }
  }
  return result;
}

enum class Side { before, after };

/// Parts neighbours a, b with first(a) and second(b) by a space, and puts another before or after the two. Pairs are
/// found from left to right and do not overlap, as a regular expression's substitution finds them.
template <typename First, typename Second>
Text part(View text, First first, Second second, Side outer) {
  Text result;
  result.reserve(2 * text.size());
  size_t i = 0;
  while (i < text.size()) {
    if (i + 1 == text.size() || !first(text[i]) || !second(text[i + 1])) {
      result += text[i++];
      continue;
    }
    if (outer == Side::before) result += U' ';
    result += text[i];
    result += U' ';
    result += text[i + 1];
    if (outer == Side::after) result += U' ';
    i += 2;
  }
  return result;
}

void replace_all(Text& text, View from, View to) {
  for (size_t at = text.find(from); at != Text::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

/// The passes that 13a and zh share.
Text western(View text) {
  const auto no_digit = [](char32_t c) { return !is_digit(c); };
  Text result = isolate(text, is_split_off);
  result = part(result, no_digit, is_dot_or_comma, Side::after);
  result = part(result, is_dot_or_comma, no_digit, Side::before);
  return part(result, is_digit, [](char32_t c) { return c == U'-'; }, Side::after);
}

Text v13a(View text) {
  Text line(text);
  replace_all(line, U"<skipped>", U"");
  replace_all(line, U"-\n", U"");
  replace_all(line, U"\n", U" ");
  // In this order "&amp;lt;" ends as "<".
  replace_all(line, U"&quot;", U"\"");
  replace_all(line, U"&amp;", U"&");
  replace_all(line, U"&lt;", U"<");
  replace_all(line, U"&gt;", U">");
  return western(U" " + line + U" ");
}

Text international(View text) {
  const auto no_number = [](char32_t c) { return !is_number(c); };
  Text result = part(text, no_number, is_punctuation, Side::after);
  result = part(result, is_punctuation, no_number, Side::before);
  return isolate(result, is_symbol);
}

/// `text` with spaces where `tokenizer` parts it.
Text spaced(View text, Tokenizer tokenizer) {
  switch (tokenizer) {
    case Tokenizer::v13a:
      return v13a(text);
    case Tokenizer::zh:
      text.remove_prefix(static_cast<size_t>(std::find_if_not(text.begin(), text.end(), is_space) - text.begin()));
      return western(isolate(text, is_chinese));
    case Tokenizer::character:
      return isolate(text, [](char32_t) { return true; });
    case Tokenizer::international:
      return international(text);
    case Tokenizer::none:
      break;
  }
  return Text(text);
}

}  // namespace

std::optional<Tokenizer> tokenizer_named(std::string_view name) {
  for (const auto& [known, tokenizer] : kNames) {
    if (known == name) return tokenizer;
  }
  return std::nullopt;
}

std::string_view name_of(Tokenizer tokenizer) {
  return std::find_if(kNames.begin(), kNames.end(), [&](const auto& n) { return n.second == tokenizer; })->first;
}

std::vector<std::string> tokenizer_names() {
  std::vector<std::string> names;
  for (const auto& [name, tokenizer] : kNames) names.emplace_back(name);
  return names;
}

std::vector<std::string> tokenize(std::string_view text, Tokenizer tokenizer, bool lowercase) {
  Text line = code_points(from_utf8(lowercase ? lower(text) : std::string(text)));
  while (!line.empty() && is_space(line.back())) line.pop_back();
  line = spaced(line, tokenizer);

  std::vector<std::string> tokens;
  auto at = line.begin();
  while (true) {
    at = std::find_if_not(at, line.end(), is_space);
    if (at == line.end()) return tokens;
    const auto end = std::find_if(at, line.end(), is_space);
    tokens.push_back(to_utf8(View(at, end)));
    at = end;
  }
}

std::string lower(std::string_view text) {
  std::string result;
  from_utf8(text).toLower(icu::Locale::getRoot()).toUTF8String(result);
  return result;
}

}  // namespace peftlab::bleu
