#pragma once

/// \file
/// Numbers of the host's on their way to a device.

#include <peftlab/export.h>

#include <torch/types.h>

namespace peftlab {

/// `tensor` on `device`; itself if it is there. From the CPU to a GPU nobody waits: the copy is in the order of the current
/// stream, from memory that is pinned for it. So a forward pass that makes its indices on the CPU does not stop the GPU,
/// and can be recorded as a CUDA graph. Threads: any.
PEFTLAB_API torch::Tensor to_device(const torch::Tensor& tensor, torch::Device device);

}  // namespace peftlab
