#include "cuda/graphs.h"
#include "cuda/managed_memory.h"
#include "cuda/peftlab_cuda.h"
#include "cuda/quantized.h"

#include <c10/cuda/CUDACachingAllocator.h>

#include <cuda_runtime.h>

#include <cstdio>

namespace peftlab::cuda {
namespace {

void device_name(int device, char* name, size_t size) {
  cudaDeviceProp properties{};
  const cudaError_t error = cudaGetDeviceProperties(&properties, device);
  std::snprintf(name, size, "%s", error == cudaSuccess ? properties.name : cudaGetErrorString(error));
}

void reset_peak(int device) { c10::cuda::CUDACachingAllocator::resetPeakStats(static_cast<c10::DeviceIndex>(device)); }

int64_t peak_bytes(int device) {
  const auto stats = c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device));
  return stats.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
}

void synchronize(int device) {
  cudaSetDevice(device);
  cudaDeviceSynchronize();
}

}  // namespace
}  // namespace peftlab::cuda

extern "C" __attribute__((visibility("default"))) peftlab::cuda::Functions peftlab_cuda_functions() {
  using namespace peftlab::cuda;
  return {device_name,      reset_peak,        peak_bytes,   synchronize,  managed_allocate, managed_free,
          managed_prefetch, quantized_kernels, graph_record, graph_replay, graph_free};
}
