#pragma once

/// \file
/// What the library peftlab_cuda gives. It is the only part that links torch_cuda; the program opens it at run time,
/// where a GPU is used, so that the same program runs on machines without one.

#include <quantize/device_kernels.h>

#include <cstddef>
#include <cstdint>

namespace peftlab::cuda {

/// Plain functions, so that the header needs nothing of CUDA.
struct Functions {
  void (*device_name)(int device, char* name, size_t size);
  void (*reset_peak)(int device);
  int64_t (*peak_bytes)(int device);
  void (*synchronize)(int device);
  /// Managed memory full of zeros, whose preferred place is the device; null, with the reason, if there is none.
  void* (*managed_allocate)(int device, int64_t bytes, char* reason, size_t size);
  void (*managed_free)(void* data);
  /// Begins to move managed memory to the device, beside the work under way there.
  void (*managed_prefetch)(int device, void* data, int64_t bytes);
  const DeviceKernels& (*quantized_kernels)();
  /// Those of cuda/graphs.h.
  void* (*graph_record)(int device, void (*work)(void*), void* given);
  void (*graph_replay)(void* graph);
  void (*graph_free)(void* graph);
};

}  // namespace peftlab::cuda

/// The library's one exported symbol.
extern "C" peftlab::cuda::Functions peftlab_cuda_functions();
