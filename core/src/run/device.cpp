#include "run/device.h"

#include "cuda/library.h"

#include <fstream>

namespace peftlab::run {

std::string device_name(torch::Device device) {
  if (!device.is_cuda()) return "cpu";
  char name[256] = "";
  cuda::functions().device_name(device.index(), name, sizeof name);
  return name;
}

void reset_peak_memory(torch::Device device) {
  std::ofstream("/proc/self/clear_refs") << "5";
  if (device.is_cuda()) cuda::functions().reset_peak(device.index());
}

std::optional<int64_t> peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmHWM:")) return std::stoll(line.substr(6)) * 1024;
  }
  return std::nullopt;
}

std::optional<int64_t> peak_device_bytes(torch::Device device) {
  if (!device.is_cuda()) return std::nullopt;
  return cuda::functions().peak_bytes(device.index());
}

void synchronize(torch::Device device) {
  if (device.is_cuda()) cuda::functions().synchronize(device.index());
}

}  // namespace peftlab::run
