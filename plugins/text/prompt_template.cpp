#include "prompt_template.h"

#include <algorithm>
#include <utility>

namespace peftlab::text {

PromptTemplate::PromptTemplate(const std::string& text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c) {
      plain += c;
      ++i;
      continue;
    }
    if (c == '}') {
      problem_ = "has a } that closes nothing (a brace itself is written }})";
      return;
    }
    if (c != '{') {
      plain += c;
      continue;
    }
    const size_t end = text.find('}', i);
    const std::string column = text.substr(i + 1, end == std::string::npos ? end : end - i - 1);
    if (end == std::string::npos || column.empty() || column.find('{') != std::string::npos) {
      problem_ = "has a { that no column's name and } follow (a brace itself is written {{)";
      return;
    }
    if (!plain.empty()) pieces_.push_back({std::exchange(plain, ""), false});
    pieces_.push_back({column, true});
    if (std::find(columns_.begin(), columns_.end(), column) == columns_.end()) columns_.push_back(column);
    i = end;
  }
  if (!plain.empty()) pieces_.push_back({plain, false});
  if (columns_.empty()) problem_ = "names no column, so that all examples would be the same: write {text}";
}

std::string PromptTemplate::fill(const std::function<std::string(const std::string& column)>& value) const {
  std::string filled;
  for (const Piece& piece : pieces_) filled += piece.is_column ? value(piece.text) : piece.text;
  return filled;
}

}  // namespace peftlab::text
