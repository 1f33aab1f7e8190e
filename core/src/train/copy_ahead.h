#pragma once

/// \file
/// The batch that comes next, brought to the device while the present one is computed.

#include <peftlab/batch.h>

#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <optional>
#include <vector>

namespace peftlab::train {

/// `batch` with its tensors on `device` but for the labels, which are read on the CPU.
Batch on_device(const Batch& batch, torch::Device device);

class CopyAhead {
 public:
  explicit CopyAhead(torch::Device device) : device_(device) {}

  /// Begins to copy the batch of these examples. On a GPU a stream of its own does, beside what is computed there.
  void send(std::vector<int64_t> examples, const Batch& batch);

  /// The batch that was sent for these examples, for whatever the current stream is given from now on; nothing if another
  /// was, or none.
  std::optional<Batch> take(const std::vector<int64_t>& examples);

 private:
  torch::Device device_;
  std::vector<int64_t> examples_;
  std::optional<Batch> batch_;
  std::optional<c10::Stream> stream_;
  std::optional<c10::Event> copied_;
};

}  // namespace peftlab::train
