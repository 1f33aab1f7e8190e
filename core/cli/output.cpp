#include "output.h"

#include "command.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <iostream>
#include <string>

namespace peftlab::cli {

OutputError::OutputError(int reason)
    : Error(std::string("standard output does not take what is written to it: ") + std::strerror(reason)),
      reason_(reason) {}

bool OutputError::reader_is_gone() const { return reason_ == EPIPE; }

void prepare_streams() {
  // Opened for reading only: writing there fails, as it would have failed before.
  while (true) {
    const int file = open("/dev/null", O_RDONLY);
    if (file < 0) break;
    if (file > STDERR_FILENO) {
      close(file);
      break;
    }
  }
  std::signal(SIGPIPE, SIG_IGN);
}

void flush_output() {
  errno = 0;
  std::cout.flush();
  if (std::fflush(stdout) != 0 || std::ferror(stdout) || !std::cout) throw OutputError(errno != 0 ? errno : EIO);
}

void print(std::string_view text) {
  errno = 0;
  if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size()) throw OutputError(errno != 0 ? errno : EIO);
  flush_output();
}

void note(std::string_view text) { std::cerr << text << "\n"; }

}  // namespace peftlab::cli
