#pragma once

/// \file
/// Signals that ask a run to stop after saving.

#include <sys/types.h>

namespace peftlab {

/// From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1 are remembered instead of ending the process; a second SIGINT ends it at once.
void watch_signals();

/// From now on the end of the process `host`, which started this one, counts as SIGTERM: a run saves and stops where
/// nobody is left to hear of it. What is written to it then is lost without a signal.
void end_with(pid_t host);

/// The signal that was seen, or 0.
int seen_signal();

/// Thrown where work stops because of a signal, after what must be saved is saved.
struct Interrupted {
  int signal;
  /// 128 + the signal, as a shell reports it.
  int exit_code() const { return 128 + signal; }
};

}  // namespace peftlab
