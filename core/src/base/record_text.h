#pragma once

/// \file
/// From the text of one record to its fields. `file` and `line` are where the text begins; every error names the file
/// and the line it is in.

#include <peftlab/value.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::records {

/// Throws: FormatError("file:line: what").
[[noreturn]] void fail(const std::string& file, int64_t line, const std::string& what);

/// The place of the first byte of `text` that begins no well-formed UTF-8 sequence, or npos.
size_t malformed_utf8(std::string_view text);

/// The fields of one CSV record, its line's end left out. Quotes inside an unquoted field stand for themselves.
std::vector<std::string> split_csv(const std::string& file, int64_t line, std::string_view text);

/// JSON text that begins at `column` of its line, counted from 1.
Value parse_at(const std::string& file, int64_t line, int64_t column, std::string_view text);

/// The object that `value` is.
Table table_of(const std::string& file, int64_t line, Value value);

/// CSV fields under their columns' names.
Table table_of(const std::string& file, int64_t line, const std::vector<std::string>& columns,
               std::vector<std::string> fields);

}  // namespace peftlab::records
