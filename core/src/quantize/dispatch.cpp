#include <peftlab/error.h>
#include <quantize/kernels.h>

#include <cstdlib>
#include <string>

namespace peftlab {
namespace {

enum Path { kPlain, kAvx2, kAvx512, kBf16, kPaths };
constexpr const char* kNames[kPaths] = {"plain", "avx2", "avx512", "bf16"};

/// The path, or null where this processor lacks its instructions.
const Kernels* available(Path path) {
#if defined(__x86_64__)
  static const Kernels kBf16Kernels = [] {
    Kernels table = kAvx512Kernels;
    table.name = kNames[kBf16];
    table.dot4_bfloat16 = kDot4Bf16;
    return table;
  }();
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (path == kBf16) return avx512 && __builtin_cpu_supports("avx512bf16") ? &kBf16Kernels : nullptr;
  if (path == kAvx512) return avx512 ? &kAvx512Kernels : nullptr;
  if (path == kAvx2) return avx2 ? &kAvx2Kernels : nullptr;
#endif
  return path == kPlain ? &kPlainKernels : nullptr;
}

const Kernels* fastest() {
  int best = kPaths - 1;
  if (const char* cap = std::getenv("PEFTLAB_CPU")) {
    while (best >= 0 && std::string(kNames[best]) != cap) --best;
    if (best < 0) {
      throw ConfigError("the environment variable PEFTLAB_CPU is `" + std::string(cap) +
                        "`, wanted plain, avx2, avx512 or bf16");
    }
  }
  while (available(static_cast<Path>(best)) == nullptr) --best;  // the plain one always is
  return available(static_cast<Path>(best));
}

const Kernels*& chosen() {
  static const Kernels* kernels = fastest();
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
  for (int path = 0; path < kPaths; ++path) {
    if (std::string(kNames[path]) == name) return available(static_cast<Path>(path));
  }
  return nullptr;
}

void use_kernels(const Kernels& path) { chosen() = &path; }

void rearrange_float32(const float* x, int64_t n, float* out) { rearrange<8>(x, n, out); }
void rearrange_bfloat16(const uint16_t* x, int64_t n, uint16_t* out) { rearrange<4>(x, n, out); }

}  // namespace peftlab
