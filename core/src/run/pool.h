#pragma once

/// \file
/// Several runs at once, each in a worker process of its own.

#include "run/bars.h"
#include "store/store.h"

#include <cstdint>
#include <string>
#include <vector>

namespace peftlab::run {

/// A run to be made: its row in the store is pending or interrupted.
struct Job {
  std::string run;    ///< uuid
  std::string title;  ///< "lora-r8 seed 0"
  int64_t threads = 0;  ///< 0: this worker's share of the cores
};

struct PoolOptions {
  int jobs = 1;
  std::string device = "cpu";
};

struct PoolResult {
  int64_t finished = 0;
  int64_t failed = 0;
};

/// Makes all of them, `jobs` at a time. A worker that dies without a word is marked failed in the store with how it
/// ended. Throws: Interrupted, after all workers were asked to save and stop, and did.
PoolResult run_pool(store::Store& store, const std::vector<Job>& jobs, const PoolOptions& options, Bars& bars);

}  // namespace peftlab::run
