#pragma once

/// \file
/// Memory that the driver moves between a GPU and the CPU; what these do is told in peftlab_cuda.h.

#include <cstddef>
#include <cstdint>

namespace peftlab::cuda {

void* managed_allocate(int device, int64_t bytes, char* reason, size_t size);
void managed_free(void* data);
void managed_prefetch(int device, void* data, int64_t bytes);

}  // namespace peftlab::cuda
