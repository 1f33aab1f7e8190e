#pragma once

/// \file
/// Who a process is, so that a process id used again is not taken for the one that went.

#include <cstdint>
#include <string>

namespace peftlab::store {

struct ProcessIdentity {
  int64_t pid = 0;
  std::string boot_id;      ///< of the kernel's present boot
  int64_t start_ticks = 0;  ///< when the process began, in clock ticks after boot

  bool operator==(const ProcessIdentity&) const = default;
};

ProcessIdentity this_process();

/// Whether that very process still runs: same boot, same start time, and not a zombie. Of a process of another boot
/// (another machine, or this one before it was started again) nothing is known but when it last wrote: it is taken for
/// alive for a minute from then. `silent_ms`: milliseconds since.
bool is_alive(const ProcessIdentity& process, int64_t silent_ms);

}  // namespace peftlab::store
