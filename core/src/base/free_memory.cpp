#include "base/free_memory.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <map>
#include <string>

namespace peftlab {
namespace {

namespace fs = std::filesystem;

/// The only number in a file; nothing where there is none, as of "max".
std::optional<int64_t> number_in(const fs::path& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  int64_t number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  return !word.empty() && error == std::errc() && end == word.data() + word.size() ? std::optional(number)
                                                                                   : std::nullopt;
}

/// Lines of a name and a number.
std::map<std::string, int64_t> numbers_in(const fs::path& path) {
  std::map<std::string, int64_t> numbers;
  std::ifstream file(path);
  std::string name, rest;
  for (int64_t number = 0; file >> name >> number; std::getline(file, rest)) numbers[name] = number;
  return numbers;
}

std::optional<int64_t> free_of_machine(const fs::path& root) {
  const auto numbers = numbers_in(root / "proc/meminfo");
  const auto found = numbers.find("MemAvailable:");
  return found == numbers.end() ? std::nullopt : std::optional(found->second * 1024);
}

/// The files of a version of control groups.
struct Hierarchy {
  const char *mount, *limit, *used, *before_file;  ///< what stands before the names of memory.stat
};
constexpr Hierarchy kFirst = {"sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_"};
constexpr Hierarchy kSecond = {"sys/fs/cgroup", "memory.max", "memory.current", ""};

/// What a group's limit leaves; pages of files count as free, as the kernel drops them when memory is wanted.
std::optional<int64_t> free_of_group(const fs::path& group, const Hierarchy& files) {
  const auto limit = number_in(group / files.limit), used = number_in(group / files.used);
  if (!limit || !used) return std::nullopt;
  auto numbers = numbers_in(group / "memory.stat");
  const std::string before = files.before_file;
  return std::max<int64_t>(0, *limit - *used + numbers[before + "inactive_file"] + numbers[before + "active_file"]);
}

/// The least that the group at `path` and those around it leave. Inside a container the path may be one of the machine
/// outside: then the groups that are not there are passed over, down to the mount's own.
std::optional<int64_t> free_of_groups(const fs::path& root, const Hierarchy& files, const std::string& path) {
  std::optional<int64_t> least;
  fs::path inside = fs::path(path).relative_path();
  while (true) {
    const auto free = free_of_group(root / files.mount / inside, files);
    if (free && (!least || *free < *least)) least = free;
    if (inside.empty()) return least;
    inside = inside.parent_path();
  }
}

}  // namespace

std::optional<int64_t> free_memory(const fs::path& root) {
  auto least = free_of_machine(root);
  std::ifstream groups(root / "proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {  // number:controllers:path
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const bool is_second = controllers == ",,";
    if (!is_second && controllers.find(",memory,") == std::string::npos) continue;
    const auto free = free_of_groups(root, is_second ? kSecond : kFirst, line.substr(second + 1));
    if (free && least) least = std::min(*least, *free);
  }
  return least;
}

}  // namespace peftlab
