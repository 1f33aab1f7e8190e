#include "run/gpu_energy.h"

#include <dlfcn.h>

namespace peftlab::run {
namespace {

constexpr int kSuccess = 0;  // NVML_SUCCESS

template <typename Function>
Function symbol(void* library, const char* name) {
  return reinterpret_cast<Function>(dlsym(library, name));
}

}  // namespace

GpuEnergy::GpuEnergy(unsigned index, const std::string& library) {
  void* nvml = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!nvml) return;
  const auto init = symbol<int (*)()>(nvml, "nvmlInit_v2");
  const auto handle = symbol<int (*)(unsigned, Device*)>(nvml, "nvmlDeviceGetHandleByIndex_v2");
  const auto energy = symbol<Energy>(nvml, "nvmlDeviceGetTotalEnergyConsumption");
  if (!init || !handle || !energy || init() != kSuccess || handle(index, &device_) != kSuccess) return;
  energy_ = energy;
}

std::optional<int64_t> GpuEnergy::microjoules() const {
  unsigned long long millijoules = 0;
  if (!energy_ || energy_(device_, &millijoules) != kSuccess) return std::nullopt;
  return static_cast<int64_t>(millijoules) * 1000;
}

}  // namespace peftlab::run
