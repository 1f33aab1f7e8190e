#include "cuda/graphs.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <exception>
#include <memory>

namespace peftlab::cuda {
namespace {

struct Graph {
  c10::DeviceIndex device;
  at::cuda::CUDAGraph launches;
};

}  // namespace

void* graph_record(int device, void (*work)(void*), void* given) {
  const auto index = static_cast<c10::DeviceIndex>(device);
  const c10::cuda::CUDAGuard on_device(index);
  C10_CUDA_CHECK(cudaDeviceSynchronize());
  auto graph = std::make_unique<Graph>();
  graph->device = index;
  const c10::cuda::CUDAStreamGuard on_stream(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, index));
  graph->launches.capture_begin();
  std::exception_ptr failed;
  try {
    work(given);
  } catch (...) {
    failed = std::current_exception();
  }
  try {
    graph->launches.capture_end();
  } catch (...) {
    if (!failed) failed = std::current_exception();
  }
  if (failed) std::rethrow_exception(failed);
  return graph.release();
}

void graph_replay(void* graph) {
  auto* const recorded = static_cast<Graph*>(graph);
  const c10::cuda::CUDAGuard on_device(recorded->device);
  recorded->launches.replay();
}

void graph_free(void* graph) {
  auto* const recorded = static_cast<Graph*>(graph);
  if (recorded == nullptr) return;
  const c10::cuda::CUDAGuard on_device(recorded->device);
  cudaDeviceSynchronize();
  delete recorded;
}

}  // namespace peftlab::cuda
