#include "command_line.h"
#include "engine/commands.h"
#include "run/execute.h"
#include "support/interrupt.h"

#include <chrono>
#include <iostream>

namespace peftlab::cli {

/// Not for people: `peftlab run` starts it, once a run, and so may a cluster's scheduler.
int worker_command(const Words& words) {
  std::filesystem::path folder;
  std::string run;
  run::ExecuteOptions options;
  int host = 0;
  CommandLine line("worker",
                   "Makes one run that is pending or interrupted in the store; tells its progress as lines of JSON.",
                   "peftlab worker --run 6f1c0d52-...");
  line.store_option(&folder)
      .required_option("run", &run, "UUID", "the run")
      .option("host", &host, "PID", "the process that started it, with which it ends; 0: none")
      .option("device", &options.device, "cpu|cuda|auto", "where it is made")
      .option("threads", &options.threads, "N", "cores to use");
  if (!line.parse(words)) return 0;
  check_at_least("threads", options.threads, 1);

  if (host != 0) {
    watch_signals();
    end_with(host);
  }
  // Five lines a second are enough for anyone who looks; a change of phase is always told.
  std::string phase;
  auto told = std::chrono::steady_clock::time_point();
  options.progress = [&](const run::Progress& progress) {
    const auto now = std::chrono::steady_clock::now();
    if (progress.phase == phase && progress.step < progress.steps && now - told < std::chrono::milliseconds(200))
      return;
    phase = progress.phase;
    told = now;
    std::cout << progress.line() << std::endl;
  };
  return run::run_worker(folder, run, options);
}

}  // namespace peftlab::cli
