#pragma once

/// \file
/// Memory that need not fit: one piece, of which only what is at work has to be near.

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <memory>

namespace peftlab::train {

class PagedMemory {
 public:
  virtual ~PagedMemory() = default;
  /// The first byte; all are 0 at first.
  virtual void* data() const = 0;
  /// Says that these bytes will be used soon, and returns at once.
  virtual void ahead(int64_t offset, int64_t bytes) = 0;
  /// Says that these bytes will not be used for a while. Their values stay.
  virtual void done(int64_t offset, int64_t bytes) = 0;
};

/// A mapped file without a name in `folder`: the kernel writes its pages out when memory is short. All of it is on the
/// disk from the start, so that a full disk shows itself here and not as SIGBUS later.
/// Throws: StoreError with folder, size and the system's reason.
std::unique_ptr<PagedMemory> mapped_file(int64_t bytes, const std::filesystem::path& folder);

/// Managed memory of a GPU: the driver moves its pages to the CPU's memory when the GPU's is short.
/// Throws: PluginError where peftlab has no CUDA parts; UnsupportedError with the driver's reason.
std::unique_ptr<PagedMemory> managed_memory(int64_t bytes, c10::Device device);

}  // namespace peftlab::train
