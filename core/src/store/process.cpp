#include "store/process.h"

#include <fmt/format.h>

#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>

namespace peftlab::store {
namespace {

std::string read_boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  file >> id;
  return id.empty() ? "unknown" : id;
}

/// The start time of a living process; none where there is no such process or it is a zombie.
std::optional<int64_t> start_ticks(int64_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::stringstream content;
  content << file.rdbuf();
  const std::string text = content.str();
  // The second field is the program's name in parentheses, which may hold anything; the third is the state.
  const size_t end = text.rfind(')');
  if (end == std::string::npos) return std::nullopt;
  std::istringstream fields(text.substr(end + 1));
  std::string state;
  fields >> state;
  if (state == "Z" || state == "X") return std::nullopt;
  std::string field;
  for (int i = 4; i < 22; ++i) fields >> field;
  int64_t ticks = 0;
  return fields >> ticks ? std::optional(ticks) : std::nullopt;
}

}  // namespace

ProcessIdentity this_process() {
  const int64_t pid = getpid();
  return {pid, read_boot_id(), start_ticks(pid).value_or(0)};
}

bool is_alive(const ProcessIdentity& process, int64_t silent_ms) {
  constexpr int64_t kLeaseMs = 60'000;
  if (process.boot_id != read_boot_id()) return silent_ms < kLeaseMs;
  return start_ticks(process.pid) == process.start_ticks;
}

}  // namespace peftlab::store
