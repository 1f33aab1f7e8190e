#include "cuda/managed_memory.h"

#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <cuda_runtime.h>

#include <cstdio>

namespace peftlab::cuda {
namespace {

#if CUDART_VERSION >= 13000
cudaMemLocation place(int device) {
  cudaMemLocation location{};
  location.type = cudaMemLocationTypeDevice;
  location.id = device;
  return location;
}
cudaError_t prefer(void* data, size_t bytes, int device) {
  return cudaMemAdvise(data, bytes, cudaMemAdviseSetPreferredLocation, place(device));
}
cudaError_t prefetch(void* data, size_t bytes, int device, cudaStream_t stream) {
  return cudaMemPrefetchAsync(data, bytes, place(device), /*flags=*/0, stream);
}
#else
cudaError_t prefer(void* data, size_t bytes, int device) {
  return cudaMemAdvise(data, bytes, cudaMemAdviseSetPreferredLocation, device);
}
cudaError_t prefetch(void* data, size_t bytes, int device, cudaStream_t stream) {
  return cudaMemPrefetchAsync(data, bytes, device, stream);
}
#endif

/// Whether the driver can move pages while kernels run. Where it cannot, advice and prefetching are errors.
bool pages_on_demand(int device) {
  int found = 0;
  return cudaDeviceGetAttribute(&found, cudaDevAttrConcurrentManagedAccess, device) == cudaSuccess && found != 0;
}

}  // namespace

void* managed_allocate(int device, int64_t bytes, char* reason, size_t size) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(device));
  void* data = nullptr;
  cudaError_t error = cudaMallocManaged(&data, static_cast<size_t>(bytes), cudaMemAttachGlobal);
  if (error == cudaSuccess && pages_on_demand(device)) error = prefer(data, static_cast<size_t>(bytes), device);
  // On the stream of the steps to come, so that they find the zeros.
  if (error == cudaSuccess) {
    error = cudaMemsetAsync(data, 0, static_cast<size_t>(bytes), c10::cuda::getCurrentCUDAStream(device).stream());
  }
  if (error == cudaSuccess) return data;
  std::snprintf(reason, size, "%s", cudaGetErrorString(error));
  if (data != nullptr) cudaFree(data);
  cudaGetLastError();  // the error was told; the next call of LibTorch must not find it
  return nullptr;
}

void managed_free(void* data) { cudaFree(data); }

void managed_prefetch(int device, void* data, int64_t bytes) {
  if (!pages_on_demand(device)) return;
  const auto stream = c10::cuda::getStreamFromPool(/*isHighPriority=*/false, static_cast<c10::DeviceIndex>(device));
  // A prefetch that fails changes no value: the pages come when they are touched.
  if (prefetch(data, static_cast<size_t>(bytes), device, stream.stream()) != cudaSuccess) cudaGetLastError();
}

}  // namespace peftlab::cuda
