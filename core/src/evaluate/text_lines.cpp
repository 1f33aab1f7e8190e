#include "evaluate/text_lines.h"

#include "support/files.h"

#include <peftlab/error.h>
#include <peftlab/value.h>

#include <algorithm>
#include <functional>
#include <string_view>

namespace peftlab::evaluate {
namespace {

using Reference = std::optional<std::string>;

[[noreturn]] void refuse(const std::string& where, const std::string& wanted, const Value& found) {
  throw FormatError(where + ": wanted " + wanted + ", found " + to_json(found));
}

/// Calls `take` with every line's object and its place.
void for_each_line(const std::filesystem::path& file,
                   const std::function<void(const Value& line, const std::string& where)>& take) {
  const std::string text = read_text(file);
  std::string_view rest = text;
  if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
  int64_t number = 0;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string where = file.string() + ":" + std::to_string(++number);
    const std::string_view line = rest.substr(0, end);
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
      throw FormatError(where + ": is an empty line; every line must hold a JSON object");
    }
    take(parse_json(line, where), where);
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  if (number == 0) throw FormatError(file.string() + ": is empty; wanted a JSON object a line");
}

Reference reference_of(const Value& value, const std::string& where) {
  if (value.is_null()) return std::nullopt;
  if (const auto* text = value.get_if<std::string>()) return *text;
  refuse(where, "a reference that is a text or null", value);
}

}  // namespace

std::vector<std::string> read_predictions(const std::filesystem::path& file) {
  std::vector<std::string> predictions;
  for_each_line(file, [&](const Value& line, const std::string& where) {
    const Value* prediction = line.find("prediction");
    const auto* text = prediction ? prediction->get_if<std::string>() : nullptr;
    if (!text) refuse(where, "{\"prediction\": text}", line);
    predictions.push_back(*text);
  });
  return predictions;
}

std::vector<std::vector<Reference>> read_references(const std::filesystem::path& file) {
  std::vector<std::vector<Reference>> references;
  for_each_line(file, [&](const Value& line, const std::string& where) {
    const Value* one = line.find("reference");
    const Value* many = line.find("references");
    const List* list = many ? many->get_if<List>() : nullptr;
    if ((one != nullptr) == (list != nullptr)) {
      refuse(where, "either {\"reference\": text} or {\"references\": [text, ...]}", line);
    }
    std::vector<Reference>& own = references.emplace_back();
    if (one) own.push_back(reference_of(*one, where));
    if (list) {
      for (const Value& value : *list) own.push_back(reference_of(value, where));
    }
  });
  return references;
}

}  // namespace peftlab::evaluate
