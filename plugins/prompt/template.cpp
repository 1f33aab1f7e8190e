#include "template.h"

#include <peftlab/error.h>

#include <algorithm>
#include <cctype>

namespace peftlab::prompt {
namespace {

/// N of "soft:N".
int64_t number_of(const std::string& place) {
  const std::string digits = place.substr(5);
  const bool all_digits = std::all_of(digits.begin(), digits.end(), [](unsigned char c) { return std::isdigit(c); });
  const int64_t number = all_digits && !digits.empty() && digits.size() <= 5 ? std::stoll(digits) : 0;
  if (number < 1) throw ConfigError("has {" + place + "}, whose number is none from 1 to 99999");
  return number;
}

}  // namespace

std::vector<Piece> parse_template(const std::string& text, int64_t tokens) {
  std::vector<Piece> pieces;
  bool any = false;
  for (size_t at = 0; at < text.size();) {
    const size_t brace = std::min(text.find_first_of("{}", at), text.size());
    if (brace > at) pieces.push_back({text.substr(at, brace - at), 0});
    if (brace == text.size()) break;
    const size_t end = text.find('}', brace);
    if (text[brace] == '}' || end == std::string::npos) {
      throw ConfigError(std::string("has a ") + text[brace] + " without its partner");
    }
    const std::string place = text.substr(brace + 1, end - brace - 1);
    if (place == "soft") {
      pieces.push_back({"", tokens});
    } else if (place.starts_with("soft:")) {
      pieces.push_back({"", number_of(place)});
    } else {
      throw ConfigError("has {" + place + "}, where only {soft} and {soft:N} are known");
    }
    any = true;
    at = end + 1;
  }
  if (!any) throw ConfigError("has no place for trained vectors: {soft} or {soft:N}");
  return pieces;
}

bool uses_tokens(const std::string& text) { return text.find("{soft}") != std::string::npos; }

}  // namespace peftlab::prompt
