/// Oniguruma's syntax into PCRE2's.

#include "tokenize/pattern.h"
#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <string>
#include <vector>

namespace peftlab::tokenize {
namespace {

/// What a [...] means: the inside of a PCRE2 set, and expressions that match one character each, beside it.
struct Set {
  std::string inside;
  std::vector<std::string> beside;
};

class Translator {
 public:
  Translator(const std::string& text, const std::string& where) : text_(text), where_(where) {}

  std::string run() {
    std::string out;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\\') {
        out += escape();
      } else if (c == '[') {
        ++at_;
        out += set(0);
      } else if (c == '(') {
        out += group();
      } else if (c == '{') {
        out += interval();
      } else {
        out += c;
        ++at_;
      }
    }
    return out;
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw FormatError(
        fmt::format("{}: the expression \"{}\" uses {}, which peftlab cannot translate", where_, text_, what));
  }

  bool next_is(std::string_view wanted) const { return std::string_view(text_).substr(at_).starts_with(wanted); }

  /// Hexadecimal digits between `at_` and what ends them, as a PCRE2 character; `at_` moves behind them.
  std::string hexadecimal(size_t fixed_digits) {
    size_t end = at_;
    while (end < text_.size() && (fixed_digits == 0 || end < at_ + fixed_digits) &&
           std::isxdigit(static_cast<unsigned char>(text_[end]))) {
      ++end;
    }
    const std::string digits = text_.substr(at_, end - at_);
    if (digits.empty() || digits.size() > 8 || (fixed_digits == 4 && digits.size() != 4))
      refuse("a broken character number");
    at_ = end;
    const auto code = std::stoul(digits, nullptr, 16);
    if (code > 0x10FFFF || (0xD800 <= code && code < 0xE000)) refuse("a number that is no character's");
    return fmt::format("\\x{{{:X}}}", code);
  }

  /// The property that \p or \P at `at_` names: the inside of its set. `at_` moves behind it.
  std::string property(bool& negative) {
    negative = text_[at_ + 1] == 'P';
    const size_t end = text_.find('}', at_);
    if (at_ + 2 >= text_.size() || text_[at_ + 2] != '{' || end == std::string::npos) refuse("\\p without {...}");
    std::string name = text_.substr(at_ + 3, end - at_ - 3);
    if (name.starts_with('^')) {
      negative = !negative;
      name.erase(0, 1);
    }
    const std::string inside = property_set(name);
    if (inside.empty()) refuse("the property \"" + name + "\"");
    at_ = end + 1;
    return inside;
  }

  /// A character class at `at_`: the inside of its set, or "" if what stands there is no class.
  std::string char_class(bool& negative, bool in_set) {
    const char letter = at_ + 1 < text_.size() ? text_[at_ + 1] : '\0';
    negative = false;
    if (letter == 'p' || letter == 'P') return property(negative);
    std::string inside;
    switch (letter) {
      case 's':
        inside = kSpaceSet;
        break;
      case 'S':
        inside = kNoSpaceSet;
        break;
      case 'd':
      case 'D':
        inside = digit_set();
        break;
      case 'w':
      case 'W':
        inside = word_set(!in_set);
        break;
      case 'h':
      case 'H':
        inside = "0-9A-Fa-f";
        break;
      default:
        return "";
    }
    negative = letter == 'D' || letter == 'W' || letter == 'H';
    at_ += 2;
    return inside;
  }

  /// An escaped character that both sides write alike, or a number; `in_set` says where it stands.
  std::string escaped_character(bool in_set) {
    if (at_ + 1 >= text_.size()) refuse("a backslash at its end");
    const char letter = text_[at_ + 1];
    if (letter == 'u') {
      at_ += 2;
      return hexadecimal(4);
    }
    if (letter == 'x') {
      at_ += 2;
      if (!next_is("{")) {
        const std::string code = hexadecimal(2);
        if (code.size() == 6 && code[3] >= '8') refuse("\\x of a byte that is not ASCII");
        return code;
      }
      ++at_;
      const std::string code = hexadecimal(0);
      if (!next_is("}")) refuse("a broken character number");
      ++at_;
      return code;
    }
    const std::string_view same = in_set ? "tnrfae0" : "tnrfae0AzZGR123456789";
    if (std::isalnum(static_cast<unsigned char>(letter)) && same.find(letter) == same.npos) {
      refuse(fmt::format("\\{}", letter));
    }
    if (letter == '0' && at_ + 2 < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_ + 2]))) {
      refuse("an octal number");
    }
    const size_t length = 1 + code_point_length(letter);
    const std::string out = text_.substr(at_, length);
    at_ += length;
    return out;
  }

  /// An escape outside of sets.
  std::string escape() {
    bool negative = false;
    if (next_is("\\b") || next_is("\\B")) {
      const std::string word = "[" + word_set(true) + "]";
      const bool border = text_[at_ + 1] == 'b';
      at_ += 2;
      return border ? fmt::format("(?:(?<={0})(?!{0})|(?<!{0})(?={0}))", word)
                    : fmt::format("(?:(?<={0})(?={0})|(?<!{0})(?!{0}))", word);
    }
    const std::string inside = char_class(negative, false);
    if (!inside.empty()) return fmt::format("[{}{}]", negative ? "^" : "", inside);
    return escaped_character(false);
  }

  /// One character of a set, which may begin a range; escapes are translated.
  std::string set_character() {
    if (text_[at_] == '\\') return escaped_character(true);
    const size_t length = code_point_length(text_[at_]);
    std::string out = text_.substr(at_, length);
    // A character that PCRE2 might take for more is escaped.
    if (length == 1 && std::string_view("[]^-&\\").find(out[0]) != std::string_view::npos) out.insert(0, "\\");
    at_ += length;
    return out;
  }

  static std::string one_of(const Set& set, bool negative) {
    if (set.beside.empty()) {
      if (set.inside.empty()) return negative ? "(?s:.)" : "(?!)";
      return fmt::format("[{}{}]", negative ? "^" : "", set.inside);
    }
    std::string all = set.inside.empty() ? "" : "[" + set.inside + "]";
    for (const std::string& part : set.beside) all += (all.empty() ? "" : "|") + part;
    return negative ? fmt::format("(?:(?!{})(?s:.))", all) : fmt::format("(?:{})", all);
  }

  /// The set whose [ lies before `at_`.
  std::string set(int depth) {
    if (depth > 20) refuse("sets nested deeper than 20");
    const bool negative = next_is("^");
    if (negative) ++at_;
    Set current;
    std::vector<std::string> factors;  // what stands before each &&
    for (bool first = true;; first = false) {
      if (at_ >= text_.size()) refuse("a set that does not end");
      if (text_[at_] == ']' && !first) {
        ++at_;
        break;
      }
      if (next_is("[:")) refuse("POSIX brackets");
      if (next_is("&&")) {
        at_ += 2;
        factors.push_back(one_of(current, false));
        current = {};
        continue;
      }
      if (text_[at_] == '[') {
        ++at_;
        current.beside.push_back(set(depth + 1));
        continue;
      }
      bool opposite = false;
      const std::string inside = text_[at_] == '\\' ? char_class(opposite, true) : "";
      if (!inside.empty()) {
        if (opposite) {
          current.beside.push_back("[^" + inside + "]");
        } else {
          current.inside += inside;
        }
        continue;
      }
      current.inside += set_character();
      if (next_is("-") && at_ + 1 < text_.size() && text_[at_ + 1] != ']' && text_[at_ + 1] != '[') {
        ++at_;
        current.inside += "-" + set_character();
      }
    }
    if (factors.empty()) return one_of(current, negative);
    std::string all;
    for (const std::string& factor : factors) all += "(?=" + factor + ")";
    all += one_of(current, false);
    return negative ? fmt::format("(?:(?!{})(?s:.))", all) : fmt::format("(?:{})", all);
  }

  /// What opens a group, up to where its inside begins.
  std::string group() {
    ++at_;
    if (next_is("*")) refuse("a verb or call (*...)");
    if (!next_is("?")) return "(";
    for (const char* same : {"?:", "?=", "?!", "?>", "?<=", "?<!"}) {
      if (!next_is(same)) continue;
      at_ += std::string_view(same).size();
      return fmt::format("({}", same);
    }
    if (next_is("?#")) {
      const size_t end = text_.find(')', at_);
      if (end == std::string::npos) refuse("a comment that does not end");
      at_ = end + 1;
      return "";
    }
    const size_t end = text_.find_first_of(":)", at_);
    const std::string options = end == std::string::npos ? "" : text_.substr(at_ + 1, end - at_ - 1);
    if (options.empty() || options.find_first_not_of("imx-") != std::string::npos) {
      refuse(fmt::format("the group \"({}\"", text_.substr(at_, 6)));
    }
    if (options.find('x') != std::string::npos) refuse("the option x");
    // In the middle, an option without a group takes in all alternatives that follow there, and not here.
    if (text_[end] == ')' && at_ != 1) refuse("an option without a group that is not at its start");
    std::string out = "(?";
    for (const char c : options) out += c == 'm' ? 's' : c;
    out += text_[end];
    at_ = end + 1;
    return out;
  }

  /// A { outside of sets: a number of repetitions, or itself.
  std::string interval() {
    size_t end = at_ + 1;
    while (end < text_.size() && (std::isdigit(static_cast<unsigned char>(text_[end])) || text_[end] == ',')) ++end;
    const std::string counts = text_.substr(at_ + 1, end - at_ - 1);
    const size_t comma = counts.find(',');
    const bool is_interval = end < text_.size() && text_[end] == '}' && !counts.empty() && counts != "," &&
                             (comma == std::string::npos || counts.find(',', comma + 1) == std::string::npos);
    if (!is_interval) {
      ++at_;
      return "\\{";
    }
    if (end + 1 < text_.size() && text_[end + 1] == '+') refuse("{...}+, which is no possessive repetition there");
    at_ = end + 1;
    return fmt::format("{{{}{}}}", comma == 0 ? "0" : "", counts);
  }

  const std::string& text_;
  const std::string& where_;
  size_t at_ = 0;
};

}  // namespace

std::string translate_pattern(const std::string& expression, const std::string& where) {
  return Translator(expression, where).run();
}

}  // namespace peftlab::tokenize
