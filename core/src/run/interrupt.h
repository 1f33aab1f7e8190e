#pragma once

/// \file
/// Signals that ask a run to stop after saving.

namespace peftlab::run {

/// From now on SIGINT, SIGTERM, SIGHUP and SIGUSR1 are remembered instead of ending the process; a second SIGINT ends it at once.
void watch_signals();

/// The signal that was seen, or 0.
int seen_signal();

/// Thrown where work stops because of a signal, after what must be saved is saved.
struct Interrupted {
  int signal;
  /// 128 + the signal, as a shell reports it.
  int exit_code() const { return 128 + signal; }
};

}  // namespace peftlab::run
