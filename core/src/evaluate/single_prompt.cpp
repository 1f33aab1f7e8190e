#include "evaluate/single_prompt.h"

#include "support/sha256.h"

#include <algorithm>
#include <fstream>
#include <regex>
#include <string_view>

namespace peftlab::evaluate {
namespace {

/// Whether the names in a CSV header hold `name`.
bool has_column(std::string_view header, std::string_view name) {
  while (!header.empty()) {
    const size_t end = std::min(header.find(','), header.size());
    std::string_view column = header.substr(0, end);
    if (column.size() >= 2 && column.starts_with('"') && column.ends_with('"')) {
      column = column.substr(1, column.size() - 2);
    }
    if (column == name) return true;
    header.remove_prefix(std::min(end + 1, header.size()));
  }
  return false;
}

}  // namespace

std::string SinglePrompt::fingerprint() const { return sha256_hex(prompt_); }

std::string dataset_for(const std::filesystem::path& file) {
  constexpr size_t kLooked = 64 * 1024;
  std::string beginning(kLooked, '\0');
  std::ifstream stream(file, std::ios::binary);
  stream.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
  beginning.resize(static_cast<size_t>(stream.gcount()));
  std::string_view text = beginning;
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);

  bool pictures = false;
  if (file.extension() == ".csv") {
    const std::string_view header = text.substr(0, text.find_first_of("\r\n"));
    pictures = has_column(header, "image_path") || has_column(header, "img");
  } else {
    static const std::regex kKey("\"(image_path|img)\"\\s*:");
    pictures = std::regex_search(text.begin(), text.end(), kKey);
  }
  return pictures ? "image_text" : "text";
}

}  // namespace peftlab::evaluate
