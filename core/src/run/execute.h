#pragma once

/// \file
/// The life of one run, from its row in the store to its result there: this is what a worker process does.

#include "registry/registry.h"
#include "store/store.h"

#include <filesystem>
#include <functional>
#include <string>

namespace peftlab::run {

/// Where a run stands, as it is told to whoever shows it.
struct Progress {
  std::string phase;  ///< "load", "features", "train", "evaluate"
  int64_t step = 0;
  int64_t steps = 0;
  double loss = 0.0;
  double learning_rate = 0.0;

  /// One line of JSON and back; nullopt for a line that is none.
  std::string line() const;
  static std::optional<Progress> parse(const std::string& line);
};

struct ExecuteOptions {
  std::string device = "cpu";
  int threads = 1;
  std::function<void(const Progress&)> progress;
};

/// The folder that a run may use while it lasts; its resume point lies there.
std::filesystem::path work_folder(const std::filesystem::path& store, const std::string& run);
std::filesystem::path resume_file(const std::filesystem::path& store, const std::string& run);
/// The optimizer step a resume point was written after.
int64_t resume_step(const std::filesystem::path& file);

/// Executes the pending or interrupted run `uuid`: loads, trains, evaluates, saves, and leaves it finished in the store.
/// Throws: Interrupted, after a resume point was written and the run marked so; otherwise whatever went wrong, the run's
///         row being for the caller to mark.
void execute(store::Store& store, const std::string& uuid, const registry::Registry& registry,
             const ExecuteOptions& options);

/// Executes a run in this process and marks it failed with its reason if it fails. Returns the process's exit code.
int run_worker(const std::filesystem::path& store, const std::string& uuid, const ExecuteOptions& options);

}  // namespace peftlab::run
