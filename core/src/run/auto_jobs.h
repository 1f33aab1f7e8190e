#pragma once

/// \file
/// `--jobs auto`: how many runs at once this machine gets most out of.

#include <cstdint>
#include <filesystem>

namespace peftlab::run {

/// What runs will mostly compute, and how many of them there are.
struct Workload {
  std::filesystem::path model;  ///< its folder; the sizes are those of its config.json
  int64_t rows = 128;           ///< tokens of a batch
  int64_t runs = 1;
};

struct JobsChoice {
  int jobs = 1;
  double gain = 1.0;  ///< work done in a second, by that of one run at a time with all cores
};

/// Measures the products and sums of a layer of the model's width, a fraction of a second each: one after the other with
/// all cores, and side by side with a share of the cores each. More than one at once only where that is at least a
/// twentieth faster and memory holds as many. Where the width is not known: one.
JobsChoice choose_jobs(const Workload& workload);

}  // namespace peftlab::run
