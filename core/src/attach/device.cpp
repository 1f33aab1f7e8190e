#include "attach/session.h"
#include "base/places.h"
#include "cuda/library.h"

#include <peftlab/error.h>
#include <peftlab/params.h>
#include <quantize/device_kernels.h>

#define BOOST_DLL_USE_STD_FS

#include <dlfcn.h>

namespace peftlab::attach {
namespace {

/// Loads LibTorch's CUDA half into the process; empty if that worked, else why not. It stays loaded.
std::string open_torch_cuda() {
  if (dlopen("libtorch_cuda.so", RTLD_NOW | RTLD_GLOBAL)) return "";
  const char* reason = dlerror();
  return reason ? reason : "unknown reason";
}

bool driver_is_there() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  if (driver) dlclose(driver);  // the driver is no plugin of ours, nothing of it was used
  return driver != nullptr;
}

}  // namespace

torch::Device choose_device(const std::string& word) {
  if (word == "cpu") return torch::kCPU;
  if (word != "cuda" && word != "auto") {
    throw ConfigError("device `" + word + "` is not known. " + suggestion(word, {"cpu", "cuda", "auto"}));
  }
  if (!driver_is_there()) {
    if (word == "auto") return torch::kCPU;
    throw ConfigError("device cuda: this machine has no NVIDIA driver (libcuda.so.1 cannot be opened)");
  }
  const auto library = library_folder() / "libpeftlab_cuda.so";
  if (!std::filesystem::exists(library)) {
    if (word == "auto") return torch::kCPU;
    throw ConfigError("device cuda: " + library.string() + " is not there: peftlab was built where no nvcc was found");
  }
  const std::string problem = open_torch_cuda();
  if (problem.empty() && at::hasCUDA() && at::getNumGPUs() > 0) {
    give_device_kernels([]() -> const DeviceKernels& { return cuda::functions().quantized_kernels(); });
    return torch::Device(torch::kCUDA, 0);
  }
  if (word == "auto") return torch::kCPU;
  throw ConfigError("device cuda: " + (problem.empty()
                                           ? std::string("LibTorch sees no GPU")
                                           : "LibTorch's CUDA library cannot be opened (script/setup --cuda "
                                             "installs what it needs): " +
                                                 problem));
}

}  // namespace peftlab::attach
