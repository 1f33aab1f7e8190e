#include "run/device.h"

#include "cuda/peftlab_cuda.h"

#include <peftlab/error.h>

#define BOOST_DLL_USE_STD_FS
#include <boost/dll/runtime_symbol_info.hpp>
#include <boost/dll/shared_library.hpp>

#include <fstream>

namespace peftlab::run {
namespace {

/// The functions of peftlab_cuda. Opened once, never closed.
const cuda::Functions& cuda_functions() {
  static const cuda::Functions functions = [] {
    const auto file = boost::dll::program_location().parent_path() / "libpeftlab_cuda.so";
    auto* library = new boost::dll::shared_library();
    std::error_code error;
    library->load(file, error, boost::dll::load_mode::rtld_now);
    if (error) {
      throw PluginError(file.string() + ": cannot be opened (was peftlab built where nvcc is?): " + error.message());
    }
    return library->get<cuda::Functions()>("peftlab_cuda_functions")();
  }();
  return functions;
}

}  // namespace

std::string device_name(torch::Device device) {
  if (!device.is_cuda()) return "cpu";
  char name[256] = "";
  cuda_functions().device_name(device.index(), name, sizeof name);
  return name;
}

void reset_peak_memory(torch::Device device) {
  std::ofstream("/proc/self/clear_refs") << "5";
  if (device.is_cuda()) cuda_functions().reset_peak(device.index());
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
  return cuda_functions().peak_bytes(device.index());
}

void synchronize(torch::Device device) {
  if (device.is_cuda()) cuda_functions().synchronize(device.index());
}

}  // namespace peftlab::run
