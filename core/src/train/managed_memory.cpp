#include "cuda/library.h"
#include "train/paged_memory.h"

#include <peftlab/error.h>

#include <fmt/format.h>

namespace peftlab::train {
namespace {

class ManagedMemory final : public PagedMemory {
 public:
  ManagedMemory(int64_t bytes, int device) : device_(device) {
    char reason[256] = "";
    data_ = cuda::functions().managed_allocate(device, bytes, reason, sizeof reason);
    if (data_ == nullptr) {
      throw UnsupportedError(fmt::format("no {} bytes of managed memory on cuda:{}: {}", bytes, device, reason));
    }
  }

  ~ManagedMemory() override { cuda::functions().managed_free(data_); }
  ManagedMemory(const ManagedMemory&) = delete;
  ManagedMemory& operator=(const ManagedMemory&) = delete;

  void* data() const override { return data_; }
  void ahead(int64_t offset, int64_t bytes) override {
    cuda::functions().managed_prefetch(device_, static_cast<char*>(data_) + offset, bytes);
  }
  // The driver itself moves out what was not used for longest when the GPU's memory is short.
  void done(int64_t /*offset*/, int64_t /*bytes*/) override {}

 private:
  int device_;
  void* data_;
};

}  // namespace

std::unique_ptr<PagedMemory> managed_memory(int64_t bytes, c10::Device device) {
  return std::make_unique<ManagedMemory>(bytes, device.index());
}

}  // namespace peftlab::train
