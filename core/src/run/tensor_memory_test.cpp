/// What is asked of malloc() for tensors, and what comes back.

#include "run/tensor_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/alignment.h>
#include <c10/util/Exception.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <malloc.h>
#include <cstdint>
#include <cstring>
#include <vector>

namespace peftlab::run {
namespace {

class TensorMemory : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { keep_tensor_memory(); }

  c10::Allocator& memory = *c10::GetCPUAllocator();
};

TEST_F(TensorMemory, IsAligned) {
  for (size_t bytes = 1; bytes < 3000; bytes += 7) {
    const auto data = memory.allocate(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data.get()) % c10::gAlignment, 0u) << bytes;
    EXPECT_EQ(data.device(), c10::Device(c10::kCPU));
    std::memset(data.get(), 1, bytes);
  }
  EXPECT_EQ(memory.allocate(0).get(), nullptr);
}

TEST_F(TensorMemory, CanBeHadWithoutAnOwner) {
  void* const data = memory.raw_allocate(100);
  std::memset(data, 1, 100);
  memory.raw_deallocate(data);
  memory.raw_deallocate(nullptr);
}

TEST_F(TensorMemory, SaysHowMuchThereIsNot) {
  for (const size_t bytes : {size_t{1} << 62, ~size_t{0}}) {
    try {
      memory.allocate(bytes);
      FAIL() << bytes << " bytes were found";
    } catch (const c10::OutOfMemoryError& error) {
      EXPECT_THAT(error.what(),
                  ::testing::HasSubstr("can't allocate memory: " + std::to_string(bytes) + " bytes were asked for"));
    }
  }
}

/// A step of training: tensors come and go, and small ones that stay are made between them. With memalign() the heap grows
/// by the size of the large ones every few rounds.
TEST_F(TensorMemory, OfOneTensorServesTheNextOfItsSize) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "AddressSanitizer has its own way with memory";
#endif
  constexpr int kRounds = 100;
  constexpr size_t kLarge = 3 << 20;
  std::vector<c10::DataPtr> kept;
  kept.reserve(kRounds);
  const auto used = [] { return static_cast<int64_t>(mallinfo2().arena - mallinfo2().keepcost); };
  int64_t before = 0;
  for (int i = 0; i < kRounds; ++i) {
    const auto first = memory.allocate(kLarge), second = memory.allocate(kLarge);
    kept.push_back(memory.allocate(48));
    if (i == 3) before = used();
  }
  EXPECT_LT(used() - before, int64_t{1} << 20);
}

}  // namespace
}  // namespace peftlab::run
