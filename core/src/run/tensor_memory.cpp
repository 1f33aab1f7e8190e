#include "run/tensor_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>
#include <c10/util/Exception.h>

#include <malloc.h>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <string>

namespace peftlab::run {
namespace {

/// Tensors at multiples of LibTorch's alignment; before each lies the address to free.
class MemoryOfTensors final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &release, c10::kCPU};
    constexpr size_t kBefore = c10::gAlignment + sizeof(void*);
    void* const block = bytes > std::numeric_limits<size_t>::max() - kBefore ? nullptr : std::malloc(bytes + kBefore);
    if (block == nullptr) {
      C10_THROW_ERROR(OutOfMemoryError, "can't allocate memory: " + std::to_string(bytes) + " bytes were asked for");
    }
    const auto first = reinterpret_cast<uintptr_t>(block) + sizeof(void*);
    void* const data = reinterpret_cast<void*>((first + c10::gAlignment - 1) / c10::gAlignment * c10::gAlignment);
    static_cast<void**>(data)[-1] = block;
    return {data, data, &release, c10::kCPU};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &release; }
  void copy_data(void* to, const void* from, size_t bytes) const override { default_copy_data(to, from, bytes); }

 private:
  static void release(void* data) {
    if (data != nullptr) std::free(static_cast<void**>(data)[-1]);
  }
};

}  // namespace

void keep_tensor_memory() {
  // Left alone, glibc gives every large tensor back to the system when it goes and takes it anew a moment later, zeroed page
  // by page: up to a third of a training step's time.
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  mallopt(M_TOP_PAD, 64 << 20);
  static MemoryOfTensors memory;
  c10::SetCPUAllocator(&memory);
}

}  // namespace peftlab::run
