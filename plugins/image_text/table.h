#pragma once

/// \file
/// The rows of a data file: CSV, a JSON array, or JSON lines.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::image_text {

struct Row {
  int64_t line = 0;  ///< where the row begins, counted from 1
  std::string image_path;
  std::string text;
  std::optional<std::string> prompt;
};

/// The rows of `file`, in order; its bytes are shown to `see_bytes`, piece by piece.
///
/// The file is of a kind that peftlab/records.h reads. Columns or keys are image_path, text and perhaps prompt, or img,
/// label and perhaps prompt; others are not looked at.
/// Throws: FormatError with file and line.
std::vector<Row> read_table(const std::filesystem::path& file,
                            const std::function<void(std::string_view bytes)>& see_bytes);

}  // namespace peftlab::image_text
