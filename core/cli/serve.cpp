#include "serve/server.h"

#include "command_line.h"
#include "support/interrupt.h"

#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <thread>

namespace peftlab::cli {

int serve_command(const Words& words) {
  serve::Options options;
  CommandLine line(
      "serve",
      "Shows the store in a browser, as it changes: running experiments with their progress and curves, and\n"
      "the report of each as it stands. It only reads, and a run never waits for it. Other machines are\n"
      "answered only with --bind and a --token.",
      "peftlab serve --port 8080");
  line.store_option(&options.store)
      .option("port", &options.port, "N", "where it listens; 0: a free port")
      .option("bind", &options.bind, "ADDRESS", "the address of this machine that it listens on")
      .plain_option("token", &options.token, "TOKEN", "what a request must show; at least 16 letters and digits");
  if (!line.parse(words)) return 0;
  check_at_least("port", options.port, 0);

  watch_signals();
  serve::Server server(options);
  note(fmt::format("serving http://{}:{}/ (read-only; Ctrl-C ends)", options.bind, server.port()));
  std::atomic<bool> is_over = false;
  std::thread watcher([&] {
    // More than once: a server that has not begun to listen hears nothing.
    for (; !is_over; std::this_thread::sleep_for(std::chrono::milliseconds(100))) {
      if (seen_signal() != 0) server.stop();
    }
  });
  server.run();
  is_over = true;
  watcher.join();
  return 0;
}

}  // namespace peftlab::cli
