#include "page.h"

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <stdexcept>

namespace peftlab::docs_test {
namespace {

namespace fs = std::filesystem;

/// How many backticks a line begins with.
size_t backticks(const std::string& line) { return std::min(line.find_first_not_of('`'), line.size()); }

/// The NAME of a line "`NAME`:", empty if it is another one.
std::string name_in(const std::string& line) {
  if (line.size() < 4 || !line.starts_with('`') || !line.ends_with("`:")) return {};
  const std::string name = line.substr(1, line.size() - 3);
  return name.find('`') == std::string::npos ? name : std::string{};
}

bool stays_inside(const fs::path& name) {
  return name.is_relative() && std::find(name.begin(), name.end(), "..") == name.end();
}

std::runtime_error mistake(int line, const std::string& what) {
  return std::runtime_error("line " + std::to_string(line) + ": " + what);
}

}  // namespace

std::vector<Part> parse_page(const std::string& markdown) {
  std::vector<Part> parts;
  std::istringstream stream(markdown);
  std::string last;  // the last line that is not empty, outside of fences
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    const size_t fence = backticks(line);
    if (fence < 3) {
      if (!line.empty()) last = line;
      continue;
    }
    Part part{number + 1, name_in(last), {}};
    const bool session = part.file.empty() && line.substr(fence) == "console";
    bool closed = false;
    for (std::string inner; !closed && std::getline(stream, inner);) {
      ++number;
      closed = backticks(inner) >= fence && backticks(inner) == inner.size();
      if (!closed) part.text += inner + "\n";
    }
    if (!closed) throw mistake(part.line - 1, "this fence is not closed");
    if (!stays_inside(part.file)) throw mistake(part.line - 1, part.file + " is not a file in the page's folder");
    if (session || !part.file.empty()) parts.push_back(part);
    last.clear();
  }
  return parts;
}

}  // namespace peftlab::docs_test
