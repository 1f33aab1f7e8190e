#include "kernels/path.h"

#include <quantize/kernels.h>
#include <quantize/pieces.h>

#include <string>

namespace peftlab {
namespace {

const Kernels* table_of(Path path) {
  static const Kernels kBf16Kernels = [] {
    Kernels table = kAvx512Kernels;
    table.name = name_of(Path::bf16);
    table.dot4_bfloat16 = kDot4Bf16;
    table.pieces = kPiecesBf16;
    return table;
  }();
  switch (path) {
    case Path::plain:
      return &kPlainKernels;
    case Path::avx2:
      return &kAvx2Kernels;
    case Path::avx512:
      return &kAvx512Kernels;
    case Path::bf16:
      return &kBf16Kernels;
  }
  return nullptr;
}

const Kernels*& chosen() {
  static const Kernels* kernels = table_of(best_path());
  return kernels;
}

/// Number i of the `lanes` words of `nibbles` codes each that make a group is at its nibble's run, swapped by twos: the
/// first number of a byte is in its high half.
template <int kNibbles, typename T>
void rearrange(const T* x, int64_t n, T* out) {
  constexpr int kLanes = kGroup / kNibbles;
  for (int64_t group = 0; group < n; group += kGroup) {
    for (int nibble = 0; nibble < kNibbles; ++nibble) {
      for (int lane = 0; lane < kLanes; ++lane) *out++ = x[group + kNibbles * lane + (nibble ^ 1)];
    }
  }
}

}  // namespace

const Kernels& kernels() { return *chosen(); }

const Kernels* kernels_named(const char* name) {
  for (const Path path : possible_paths()) {
    if (std::string(name_of(path)) == name) return table_of(path);
  }
  return nullptr;
}

void use_kernels(const Kernels& path) { chosen() = &path; }

void rearrange_float32(const float* x, int64_t n, float* out) { rearrange<8>(x, n, out); }
void rearrange_bfloat16(const uint16_t* x, int64_t n, uint16_t* out) { rearrange<4>(x, n, out); }

}  // namespace peftlab
