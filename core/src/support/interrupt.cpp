#include "support/interrupt.h"

#include <csignal>
#include <initializer_list>

#include <sys/prctl.h>
#include <unistd.h>

namespace peftlab {
namespace {

volatile std::sig_atomic_t seen = 0;

void remember(int signal) {
  if (seen == SIGINT && signal == SIGINT) _exit(128 + SIGINT);
  seen = signal;
}

}  // namespace

void watch_signals() {
  struct sigaction action {};
  action.sa_handler = remember;
  sigemptyset(&action.sa_mask);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGUSR1}) sigaction(signal, &action, nullptr);
}

void end_with(pid_t host) {
  std::signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != host) std::raise(SIGTERM);  // it was gone before we could ask
}

int seen_signal() { return seen; }

}  // namespace peftlab
