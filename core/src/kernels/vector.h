#pragma once

/// \file
/// Numbers side by side, as many as the processor that a file is compiled for takes at once. All is in an unnamed
/// namespace, so that the linker never takes the code compiled for a newer processor in place of another.

#include <cstdint>
#include <cstring>

namespace peftlab {
namespace {

#if defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8;
#else
constexpr int kLanes = 4;
#endif

typedef float Floats __attribute__((vector_size(4 * kLanes)));
typedef int32_t Ints __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Words __attribute__((vector_size(4 * kLanes)));
typedef uint16_t Halves __attribute__((vector_size(2 * kLanes)));

typedef float FloatsAnywhere __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef uint16_t HalvesAnywhere __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));

/// Bits of a bfloat16, which numbers of that type are read and written as.
struct Bfloat16 {
  uint16_t bits;
};

inline Floats splat(float x) { return x - Floats{}; }

inline Floats load(const float* x) { return *reinterpret_cast<const FloatsAnywhere*>(x); }
inline Floats load(const Bfloat16* x) {
  const Halves halves = *reinterpret_cast<const HalvesAnywhere*>(x);
  return (Floats)(__builtin_convertvector(halves, Words) << 16);
}

inline void store(Floats x, float* to) { *reinterpret_cast<FloatsAnywhere*>(to) = x; }
/// Rounded to nearest, ties to even; a NaN stays one.
inline void store(Floats x, Bfloat16* to) {
  const Words bits = (Words)x;
  Words rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
  rounded = x != x ? Words{} + 0x7FC0u : rounded;
  *reinterpret_cast<HalvesAnywhere*>(to) = __builtin_convertvector(rounded, Halves);
}

inline float number(float x) { return x; }
inline float number(Bfloat16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline void put(float x, float* to) { *to = x; }
inline void put(float x, Bfloat16* to) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  to->bits = x != x ? 0x7FC0 : static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

/// The first n < kLanes numbers, zeros behind them.
template <typename T>
inline Floats load_some(const T* x, int64_t n) {
  T all[kLanes] = {};
  std::memcpy(all, x, n * sizeof(T));
  return load(all);
}
template <typename T>
inline void store_some(Floats x, T* to, int64_t n) {
  T all[kLanes];
  store(x, all);
  std::memcpy(to, all, n * sizeof(T));
}

inline Floats max_of(Floats a, Floats b) { return a > b ? a : b; }
inline Floats min_of(Floats a, Floats b) { return a < b ? a : b; }

/// The numbers of lane i ^ step in lane i.
template <int kStep>
inline Floats swapped(Floats x) {
  Ints lanes{};
  for (int i = 0; i < kLanes; ++i) lanes[i] = i ^ kStep;
  return __builtin_shuffle(x, lanes);
}

inline float sum_of(Floats x) {
  if constexpr (kLanes > 8) x += swapped<8>(x);
  if constexpr (kLanes > 4) x += swapped<4>(x);
  x += swapped<2>(x);
  x += swapped<1>(x);
  return x[0];
}
/// sum_of() of each of kLanes vectors, to the bit, the sum of x[i] in lane i. x is used up.
template <int kStep = kLanes / 2>
inline Floats sums_of(Floats* x) {
  if constexpr (kStep == 0) {
    return x[0];
  } else {
    // Lanes with bit kStep are of the vector kStep further on from here on.
    Ints here{}, there{};
    for (int i = 0; i < kLanes; ++i) {
      const int from = (i & kStep) != 0 ? kLanes : 0;
      here[i] = from + i;
      there[i] = from + (i ^ kStep);
    }
#pragma GCC unroll 8
    for (int i = 0; i < kStep; ++i) {
      x[i] = __builtin_shuffle(x[i], x[i + kStep], here) + __builtin_shuffle(x[i], x[i + kStep], there);
    }
    return sums_of<kStep / 2>(x);
  }
}
inline float largest_of(Floats x) {
  if constexpr (kLanes > 8) x = max_of(x, swapped<8>(x));
  if constexpr (kLanes > 4) x = max_of(x, swapped<4>(x));
  x = max_of(x, swapped<2>(x));
  x = max_of(x, swapped<1>(x));
  return x[0];
}

/// e^x within 2 units of the last place; 0 below -87.3, the largest exponent from 88 on.
inline Floats exp_of(Floats x) {
  const Ints vanishes = x < -87.3f;
  x = min_of(max_of(x, splat(-87.3f)), splat(88.0f));
  // x = n ln 2 + r with |r| <= ln 2 / 2; the sum with 1.5 * 2^23 has n in its last bits.
  const Floats shifted = x * 1.44269504f + 12582912.0f;
  const Floats n = shifted - 12582912.0f;
  const Floats r = x - n * 0.693359375f + n * 2.12194440e-4f;
  // Taylor's series; what is left out is below 5e-9.
  Floats p = splat(1.98412698e-4f);
  p = p * r + 1.38888889e-3f;
  p = p * r + 8.33333333e-3f;
  p = p * r + 4.16666667e-2f;
  p = p * r + 1.66666667e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  const Words power = ((Words)((Ints)shifted - 0x4B400000) + 127u) << 23;
  const Floats found = p * (Floats)power;
  return (Floats)((Ints)found & ~vanishes);
}

}  // namespace
}  // namespace peftlab
