#pragma once

/// \file
/// How long a phase took, by the wall and by the processor.

#include <chrono>
#include <cstdint>
#include <ctime>
#include <optional>

namespace peftlab::run {

/// Starts when it is made.
class PhaseClock {
 public:
  int64_t wall_ms() const {
    if (wall_ms_) return *wall_ms_;
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start_).count();
  }
  int64_t cpu_ms() const { return process_ms() - cpu_start_; }
  /// From now on the wall time is this: for phases whose own clock knows better.
  void set_wall_ms(int64_t ms) { wall_ms_ = ms; }

 private:
  static int64_t process_ms() {
    timespec now{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
  }

  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  int64_t cpu_start_ = process_ms();
  std::optional<int64_t> wall_ms_;
};

}  // namespace peftlab::run
