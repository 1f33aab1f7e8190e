#pragma once

/// \file
/// The energy that the machine says a run took: of its processors (Intel's and AMD's RAPL counters in /sys/class/powercap),
/// or, of a run on a GPU, of that GPU. It is that of the whole device, whatever else runs on it.

#include "run/gpu_energy.h"

#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <vector>

namespace peftlab::run {

/// Counts from when it is made. Any thread may ask.
class EnergyMeter {
 public:
  explicit EnergyMeter(const std::filesystem::path& powercap = "/sys/class/powercap");

  /// From now on this GPU alone is counted, from zero.
  void count_gpu(GpuEnergy gpu);

  /// Microjoules of all processor packages together, or of the GPU; nullopt where there is no counter, or one cannot be read (the
  /// kernel shows them to root alone). The counters begin anew after some minutes: ask more often than that.
  std::optional<int64_t> microjoules();

 private:
  struct Package {
    std::filesystem::path counter;
    int64_t range = 0;  ///< what the counter begins anew after
    int64_t last = 0;
  };

  std::mutex mutex_;
  std::vector<Package> packages_;
  std::optional<GpuEnergy> gpu_;
  std::optional<int64_t> gpu_began_;
  int64_t total_ = 0;
  bool is_known_ = false;
};

}  // namespace peftlab::run
