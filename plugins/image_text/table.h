#pragma once

/// \file
/// The rows of a data file: CSV, a JSON array, or JSON lines.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::image_text {

struct Row {
  int64_t line = 0;  ///< where the row begins, counted from 1
  std::string image_path;
  std::string text;
  std::optional<std::string> prompt;
};

/// The rows of `content`, which is all of `file`, in order.
///
/// By the file's ending: .csv is RFC 4180 with a header line; .json, .jsonl and .ndjson hold one array of objects, or
/// an object a line. Columns or keys are image_path, text and perhaps prompt, or img, label and perhaps prompt; others
/// are not looked at. A byte order mark is skipped, lines may end in CR LF.
/// Throws: FormatError with file and line.
std::vector<Row> read_table(const std::filesystem::path& file, const std::string& content);

}  // namespace peftlab::image_text
