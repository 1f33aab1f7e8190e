#include "table.h"

#include <peftlab/error.h>
#include <peftlab/value.h>

#include <algorithm>
#include <string_view>

namespace peftlab::image_text {
namespace {

[[noreturn]] void fail(const std::string& file, int64_t line, const std::string& what) {
  throw FormatError(file + ":" + std::to_string(line) + ": " + what);
}

/// The names a row's parts go by in this file.
struct Names {
  const char* image;
  const char* text;
};
constexpr Names kNames[] = {{"image_path", "text"}, {"img", "label"}};
constexpr const char* kWanted = "wanted are image_path and text, or img and label, and perhaps prompt";

/// Which names are in use, given what is there.
template <typename Has>
const Names* find_names(Has has) {
  for (const Names& names : kNames) {
    if (has(names.image) && has(names.text)) return &names;
  }
  return nullptr;
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : ", ") + word;
  return out;
}

/// The byte after the first malformed UTF-8 sequence of `text`, or 0 if there is none.
size_t malformed_utf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const unsigned char first = text[i];
    const size_t length = first < 0x80   ? 1
                          : first < 0xC2 ? 0
                          : first < 0xE0 ? 2
                          : first < 0xF0 ? 3
                          : first < 0xF5 ? 4
                                         : 0;
    if (length == 0 || i + length > text.size()) return i + 1;
    for (size_t k = 1; k < length; ++k) {
      if ((text[i + k] & 0xC0) != 0x80) return i + 1;
    }
    // Overlong forms, surrogates, and what lies beyond U+10FFFF.
    const unsigned char second = length > 1 ? text[i + 1] : 0;
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) || (first == 0xF0 && second < 0x90) ||
        (first == 0xF4 && second > 0x8F)) {
      return i + 1;
    }
    i += length;
  }
  return 0;
}

struct Record {
  int64_t line;
  std::vector<std::string> fields;
};

/// Splits CSV text by RFC 4180. Quotes inside an unquoted field stand for themselves; empty lines are no records.
std::vector<Record> split_csv(const std::string& file, std::string_view text) {
  std::vector<Record> records;
  int64_t line = 1;
  size_t i = 0;
  while (i < text.size()) {
    Record record{line, {}};
    bool quoted_any = false;
    for (bool more = true; more;) {
      std::string field;
      if (i < text.size() && text[i] == '"') {
        quoted_any = true;
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
        const bool at_end = i >= text.size() || text[i] == ',' || text[i] == '\n' || text.substr(i, 2) == "\r\n";
        if (!at_end) fail(file, line, "after a quoted field's closing quote comes neither a comma nor the line's end");
      } else {
        while (i < text.size() && text[i] != ',' && text[i] != '\n' && text.substr(i, 2) != "\r\n") field += text[i++];
      }
      record.fields.push_back(std::move(field));
      more = i < text.size() && text[i] == ',';
      if (more) ++i;
    }
    if (text.substr(i, 2) == "\r\n") ++i;
    if (i < text.size()) ++i, ++line;
    const bool empty = record.fields.size() == 1 && record.fields[0].empty() && !quoted_any;
    if (!empty) records.push_back(std::move(record));
  }
  return records;
}

std::vector<Row> read_csv(const std::string& file, std::string_view text) {
  if (const size_t at = malformed_utf8(text)) {
    fail(file, 1 + std::count(text.begin(), text.begin() + at, '\n'), "is not UTF-8 here");
  }
  const std::vector<Record> records = split_csv(file, text);
  if (records.empty()) fail(file, 1, std::string("is empty: its first line must name the columns; ") + kWanted);

  const std::vector<std::string>& header = records[0].fields;
  const auto column = [&](const std::string& name) {
    return std::find(header.begin(), header.end(), name) - header.begin();
  };
  const auto has = [&](const std::string& name) { return column(name) < std::ssize(header); };
  for (const std::string& name : header) {
    if (std::count(header.begin(), header.end(), name) > 1)
      fail(file, records[0].line, "names column \"" + name + "\" twice");
  }
  const Names* names = find_names(has);
  if (!names) fail(file, records[0].line, "has the columns " + joined(header) + "; " + kWanted);

  std::vector<Row> rows;
  for (size_t r = 1; r < records.size(); ++r) {
    const auto& [line, fields] = records[r];
    if (fields.size() != header.size()) {
      fail(file, line,
           "has " + std::to_string(fields.size()) + " fields, the header has " + std::to_string(header.size()));
    }
    Row row{line, fields[column(names->image)], fields[column(names->text)], std::nullopt};
    if (has("prompt") && !fields[column("prompt")].empty()) row.prompt = fields[column("prompt")];
    rows.push_back(std::move(row));
  }
  return rows;
}

Row row_of(const std::string& file, int64_t line, const Value& value) {
  const Table* table = value.get_if<Table>();
  if (!table) fail(file, line, "an example must be an object, this is " + std::string(type_name(value)));
  const Names* names = find_names([&](const char* name) { return table->contains(name); });
  if (!names) {
    std::vector<std::string> keys;
    for (const auto& [key, unused] : *table) keys.push_back(key);
    fail(file, line, "has the keys " + joined(keys) + "; " + kWanted);
  }
  const auto text = [&](const char* name) {
    const std::string* found = table->at(name).get_if<std::string>();
    if (!found)
      fail(file, line, std::string(name) + " must be a string, found " + std::string(type_name(table->at(name))));
    return *found;
  };
  Row row{line, text(names->image), text(names->text), std::nullopt};
  const Value* prompt = value.find("prompt");
  if (prompt && !prompt->is_null()) row.prompt = text("prompt");
  return row;
}

/// The line each element of a JSON array begins at. Requires: `text` is a valid array.
std::vector<int64_t> element_lines(std::string_view text) {
  std::vector<int64_t> lines;
  int64_t line = 1;
  int depth = 0;
  bool in_string = false, expected = false;  // expected: the next character that is no space begins an element
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') ++line;
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    const bool space = c == ' ' || c == '\t' || c == '\n' || c == '\r';
    if (expected && !space && c != ']') {
      lines.push_back(line);
      expected = false;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') expected = ++depth == 1;
    if (c == ']' || c == '}') --depth;
    if (c == ',' && depth == 1) expected = true;
  }
  return lines;
}

std::vector<Row> read_json(const std::string& file, std::string_view text) {
  std::vector<Row> rows;
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && text[first] == '[') {
    const Value array = parse_json(text, file);
    const List& elements = *array.get_if<List>();
    const std::vector<int64_t> lines = element_lines(text);
    for (size_t i = 0; i < elements.size(); ++i) rows.push_back(row_of(file, lines.at(i), elements[i]));
    return rows;
  }
  int64_t line = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view object = text.substr(begin, end - begin);
    ++line;
    begin = end + 1;
    if (object.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    rows.push_back(row_of(file, line, parse_json(object, file + ", line " + std::to_string(line))));
  }
  return rows;
}

}  // namespace

std::vector<Row> read_table(const std::filesystem::path& file, const std::string& content) {
  std::string_view text = content;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const std::string ending = file.extension().string(), name = file.string();
  std::vector<Row> rows;
  if (ending == ".csv") {
    rows = read_csv(name, text);
  } else if (ending == ".json" || ending == ".jsonl" || ending == ".ndjson") {
    rows = read_json(name, text);
  } else {
    throw FormatError(name + ": its name ends in \"" + ending + "\"; read are .csv, .json, .jsonl and .ndjson");
  }
  if (rows.empty()) throw FormatError(name + ": holds no examples");
  for (const Row& row : rows) {
    if (row.image_path.empty()) fail(name, row.line, "names no picture: its path is empty");
  }
  return rows;
}

}  // namespace peftlab::image_text
