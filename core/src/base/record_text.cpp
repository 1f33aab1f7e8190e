#include "record_text.h"

#include <peftlab/error.h>

#include <algorithm>
#include <charconv>

namespace peftlab::records {

void fail(const std::string& file, int64_t line, const std::string& what) {
  throw FormatError(file + ":" + std::to_string(line) + ": " + what);
}

size_t malformed_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const unsigned char first = text[i];
    const size_t length = first < 0x80   ? 1
                          : first < 0xC2 ? 0
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                          : first < 0xF5 ? 4
                                         : 0;
    if (length == 0 || i + length > text.size()) return i;
    for (size_t k = 1; k < length; ++k) {
      if ((text[i + k] & 0xC0) != 0x80) return i;
    }
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    const unsigned char second = length > 1 ? text[i + 1] : 0;
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F)) {
      return i;
    }
    i += length;
  }
  return std::string_view::npos;
}

std::vector<std::string> split_csv(const std::string& file, int64_t line, std::string_view text) {
  std::vector<std::string> fields;
  for (size_t i = 0;;) {
    std::string& field = fields.emplace_back();
    if (i < text.size() && text[i] == '"') {
      const int64_t opened = line;
      for (++i;; ++i) {
        if (i >= text.size()) fail(file, opened, "a quoted field begins here and is never closed");
        if (text[i] == '"') {
          if (i + 1 >= text.size() || text[i + 1] != '"') break;
          ++i;
        }
        if (text[i] == '\n') ++line;
        field += text[i];
      }
      ++i;
      if (i < text.size() && text[i] != ',') {
        fail(file, line, "after a quoted field's closing quote comes neither a comma nor the line's end");
      }
    } else {
      const size_t end = std::min(text.find(',', i), text.size());
      field = text.substr(i, end - i);
      i = end;
    }
    if (i >= text.size()) return fields;
    ++i;
  }
}

Value parse_at(const std::string& file, int64_t line, int64_t column, std::string_view text) {
  try {
    return parse_json(text, "");
  } catch (const FormatError& error) {
    // ":3:14: not JSON: ...", counted from the beginning of `text`.
    const std::string_view what = error.what();
    int64_t lines = 1, columns = 1;
    const auto [colon, no_line] = std::from_chars(what.data() + 1, what.data() + what.size(), lines);
    const auto [rest, no_column] = std::from_chars(colon + 1, what.data() + what.size(), columns);
    if (no_line != std::errc() || no_column != std::errc()) fail(file, line, std::string(what));
    if (lines == 1) columns += column - 1;
    throw FormatError(file + ":" + std::to_string(line + lines - 1) + ":" + std::to_string(columns) +
                      std::string(rest));
  }
}

Table table_of(const std::string& file, int64_t line, Value value) {
  if (auto* table = std::get_if<Table>(&value.data)) return std::move(*table);
  fail(file, line, "an example must be an object, this is " + std::string(type_name(value)));
}

Table table_of(const std::string& file, int64_t line, const std::vector<std::string>& columns,
               std::vector<std::string> fields) {
  if (fields.size() != columns.size()) {
    fail(file, line,
         "has " + std::to_string(fields.size()) + " fields, the header has " + std::to_string(columns.size()));
  }
  Table table;
  for (size_t i = 0; i < fields.size(); ++i) table.emplace(columns[i], std::move(fields[i]));
  return table;
}

}  // namespace peftlab::records
