#include "base/free_memory.h"

#include <fstream>
#include <string>

namespace peftlab {

std::optional<int64_t> free_memory() {
  std::ifstream file("/proc/meminfo");
  std::string key, rest;
  for (int64_t kilobytes = 0; file >> key >> kilobytes; std::getline(file, rest)) {
    if (key == "MemAvailable:") return kilobytes * 1024;
  }
  return std::nullopt;
}

}  // namespace peftlab
