#include "run/environment.h"

#include "api/matrix_product.h"
#include "run/device.h"

#include <ATen/cpu/Utils.h>
#include <torch/version.h>

#include <sys/utsname.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace peftlab::run {
namespace {

/// The value after "key ... :" or "key=" in a file of such lines; empty if it is not there.
std::string line_value(const char* file, const std::string& key) {
  std::ifstream stream(file);
  for (std::string line; std::getline(stream, line);) {
    if (!line.starts_with(key)) continue;
    auto at = line.find_first_of(":=", key.size());
    if (at == std::string::npos) continue;
    at = line.find_first_not_of(" \t\"", at + 1);
    if (at == std::string::npos) return "";
    return line.substr(at, line.find_last_not_of(" \t\"") - at + 1);
  }
  return "";
}

}  // namespace

Table environment_facts(torch::Device device, int threads) {
  utsname system{};
  uname(&system);
  Table facts;
  facts["host"] = system.nodename;
  facts["kernel"] = std::string(system.sysname) + " " + system.release;
  facts["os"] = line_value("/etc/os-release", "PRETTY_NAME");
  facts["cpu"] = line_value("/proc/cpuinfo", "model name");
  facts["cpu_capability"] = at::get_cpu_capability();
  facts["float32_products"] = onednn_is_quicker() ? "oneDNN" : "MKL";
  facts["cores"] = static_cast<int64_t>(std::thread::hardware_concurrency());
  facts["threads"] = threads;
  facts["memory_bytes"] = static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  facts["device"] = device_name(device);
  facts["torch"] = TORCH_VERSION;
  facts["compiler"] = "g++ " __VERSION__;
  facts["peftlab"] = PEFTLAB_VERSION;
  facts["source"] = PEFTLAB_SOURCE;
  return facts;
}

}  // namespace peftlab::run
