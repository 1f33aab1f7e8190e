#include "api/pinned_copies.h"

#include <peftlab/nn/to_device.h>

namespace peftlab {
namespace {

thread_local PinnedCopies* innermost = nullptr;

}  // namespace

PinnedCopies::PinnedCopies() : before_(innermost) { innermost = this; }
PinnedCopies::~PinnedCopies() { innermost = before_; }

void keep_pinned(const torch::Tensor& pinned) {
  if (innermost) innermost->kept_.push_back(pinned);
}

torch::Tensor to_device(const torch::Tensor& tensor, torch::Device device) {
  if (!tensor.device().is_cpu() || !device.is_cuda()) return tensor.to(device);
  const auto pinned = tensor.is_pinned() ? tensor : tensor.contiguous().pin_memory();
  keep_pinned(pinned);
  return pinned.to(device, pinned.scalar_type(), /*non_blocking=*/true);
}

}  // namespace peftlab
