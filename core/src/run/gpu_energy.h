#pragma once

/// \file
/// The energy that an NVIDIA GPU counts of itself, read through the driver's NVML.

#include <cstdint>
#include <optional>
#include <string>

namespace peftlab::run {

/// The counter of one GPU. The library is opened when this is made, and never closed.
class GpuEnergy {
 public:
  /// `library`: NVML's; `index`: the GPU's number, as CUDA counts them where all are visible.
  explicit GpuEnergy(unsigned index = 0, const std::string& library = "libnvidia-ml.so.1");

  /// Microjoules since the driver was loaded; nullopt where there is no NVML, no such GPU, or one without a counter
  /// (before Volta).
  std::optional<int64_t> microjoules() const;

 private:
  using Device = void*;
  using Energy = int (*)(Device, unsigned long long*);  // nvmlDeviceGetTotalEnergyConsumption: millijoules

  Device device_ = nullptr;
  Energy energy_ = nullptr;
};

}  // namespace peftlab::run
