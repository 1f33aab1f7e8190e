#include "store/features.h"

#include "support/sha256.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <fstream>

namespace peftlab::store {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLongestHead = uint64_t{1} << 20;  // bytes; it holds a page of text

/// The plain files of features/, sorted by name.
std::vector<fs::path> files_of(const fs::path& store) {
  std::vector<fs::path> files;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(store / "features", ignored)) {
    if (entry.is_regular_file() && !entry.is_symlink()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

/// What is wrong with a safetensors file that says the sha256 of all its tensors' bytes: 8 bytes of length, that many of
/// JSON, then the tensors. Empty: nothing.
std::string problem_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  uint64_t length = 0;
  for (int i = 0; i < 8; ++i) length |= static_cast<uint64_t>(in.get() & 0xFF) << (8 * i);
  std::string head(in && length <= kLongestHead ? length : 0, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  if (!in || head.empty()) return "its head was changed";
  try {
    const Value value = parse_json(head, "its head");
    const Value* metadata = value.find("__metadata__");
    const Value* sum = metadata ? metadata->find("sha256") : nullptr;
    const auto* wanted = sum ? sum->get_if<std::string>() : nullptr;
    if (!wanted) return "its head says no sha256";
    return sha256_file(file, static_cast<int64_t>(8 + length)) == *wanted ? "" : "its bytes were changed";
  } catch (const FormatError& error) {
    return error.what();
  }
}

}  // namespace

std::vector<Garbage> feature_files(const fs::path& store) {
  std::vector<Garbage> found;
  for (const fs::path& file : files_of(store)) {
    std::error_code gone;
    const auto size = fs::file_size(file, gone);
    if (!gone) found.push_back({file.lexically_relative(store).string(), static_cast<int64_t>(size)});
  }
  return found;
}

std::vector<std::string> feature_problems(const fs::path& store) {
  std::vector<std::string> problems;
  for (const fs::path& file : files_of(store)) {
    if (file.extension() != ".safetensors") continue;  // of a writer that works, or was killed
    const std::string name = file.lexically_relative(store).string();
    const std::string problem = problem_of(file);
    std::error_code ignored;
    if (problem.empty() || !fs::exists(file, ignored)) continue;
    problems.push_back(fmt::format("{}: {}; a run that wants it makes it again", name, problem));
  }
  return problems;
}

}  // namespace peftlab::store
