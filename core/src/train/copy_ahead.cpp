#include "train/copy_ahead.h"

#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace peftlab::train {

Batch on_device(const Batch& batch, torch::Device device) {
  Batch rest = batch;
  rest.labels = torch::Tensor();
  Batch moved = rest.to(device);
  moved.labels = batch.labels;
  return moved;
}

void CopyAhead::send(std::vector<int64_t> examples, const Batch& batch) {
  examples_ = std::move(examples);
  if (device_.is_cpu()) {
    batch_ = batch;
    return;
  }
  const c10::impl::VirtualGuardImpl streams(device_.type());
  if (!stream_) stream_ = streams.getStreamFromGlobalPool(device_, /*isHighPriority=*/false);
  const c10::StreamGuard guard(*stream_);
  batch_ = on_device(batch, device_);
  copied_.emplace(device_.type());
  copied_->record(*stream_);
}

std::optional<Batch> CopyAhead::take(const std::vector<int64_t>& examples) {
  if (!batch_ || examples_ != examples) return std::nullopt;
  std::optional<Batch> taken = std::move(batch_);
  batch_.reset();
  if (device_.is_cpu()) return taken;
  const c10::Stream current = c10::impl::VirtualGuardImpl(device_.type()).getStream(device_);
  copied_->block(current);
  // Their memory is the other stream's: it must not be given away there while this one still reads.
  for (const torch::Tensor& tensor : {taken->tokens, taken->images, taken->image_features}) {
    if (tensor.defined()) tensor.record_stream(current);
  }
  return taken;
}

}  // namespace peftlab::train
