#pragma once

/// \file
/// What the library peftlab_cuda gives. It is the only part that links torch_cuda; the program opens it at run time,
/// where a GPU is used, so that the same program runs on machines without one.

#include <cstddef>
#include <cstdint>

namespace peftlab::cuda {

/// Plain functions, so that the header needs nothing of CUDA.
struct Functions {
  void (*device_name)(int device, char* name, size_t size);
  void (*reset_peak)(int device);
  int64_t (*peak_bytes)(int device);
  void (*synchronize)(int device);
};

}  // namespace peftlab::cuda

/// The library's one exported symbol.
extern "C" peftlab::cuda::Functions peftlab_cuda_functions();
