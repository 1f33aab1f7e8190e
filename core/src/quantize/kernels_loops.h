#pragma once

/// \file
/// What the paths share, each compiled for itself: all is in an unnamed namespace, so that the linker never takes the
/// one compiled for a newer processor in place of another. A path gives its vector steps as a type `Isa`.

#include <quantize/kernels.h>

#include <cstdint>
#include <cstring>

namespace peftlab {
namespace {

inline uint32_t bits_of(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline float float_of(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

/// To nearest, ties to even. Infinities stay; there are no NaNs among scaled codes.
inline uint16_t bfloat16_bits(float x) {
  const uint32_t bits = bits_of(x);
  return static_cast<uint16_t>((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}

inline uint16_t float16_bits(float x) {
  const uint32_t bits = bits_of(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= 0x47800000u) return static_cast<uint16_t>(sign | 0x7C00u);  // 65536 and more
  if (magnitude < 0x38800000u) {
    // Below 2^-14 the steps of float16 are 2^-24, which are those of float32 from 0.5 to 1: the sum rounds as wanted.
    return static_cast<uint16_t>(sign | (bits_of(float_of(magnitude) + 0.5f) - 0x3F000000u));
  }
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000u + 0xFFFu + ((magnitude >> 13) & 1u)) >> 13));
}

struct Float32 {
  using type = float;
  static float of(float x) { return x; }
};
struct Bfloat16 {
  using type = uint16_t;
  static uint16_t of(float x) { return bfloat16_bits(x); }
};
struct Float16 {
  using type = uint16_t;
  static uint16_t of(float x) { return float16_bits(x); }
};

/// The largest magnitude, found among the bit patterns: their order is that of the magnitudes, and a NaN or an infinity
/// is the largest of all, so that it shows in the scale.
inline float largest_magnitude(const float* x, int64_t n) {
  uint32_t largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    const uint32_t magnitude = bits_of(x[i]) & 0x7FFFFFFFu;
    largest = magnitude > largest ? magnitude : largest;
  }
  return float_of(largest);
}

inline float clamp_to_one(float v) { return v > 1.0f ? 1.0f : (v < -1.0f ? -1.0f : v); }

inline uint8_t code_of(float v, const FourBitSearch& search) {
  int below = v > search.threshold[7] ? 8 : 0;
  below += v > search.threshold[below + 3] ? 4 : 0;
  below += v > search.threshold[below + 1] ? 2 : 0;
  below += v > search.threshold[below] ? 1 : 0;
  return search.order[below];
}

template <typename Isa>
void encode4(const float* x, int64_t n, int64_t block, const FourBitSearch& search, uint8_t* packed, float* absmax) {
  const typename Isa::Search prepared(search);
  const int64_t whole = n / block * block;
  for (int64_t i = 0; i < whole; i += block) {
    const float largest = Isa::largest(x + i, block);
    *absmax++ = largest;
    Isa::encode_block(x + i, block, 1.0f / (largest > 1e-38f ? largest : 1e-38f), prepared, packed + i / 2);
  }
  if (whole == n) return;
  // A short last block is divided, not multiplied by the reciprocal, and keeps the raised scale: so does bitsandbytes.
  float largest = largest_magnitude(x + whole, n - whole);
  largest = largest < 1e-38f ? 1e-38f : largest;
  *absmax = largest;
  for (int64_t i = whole; i < n; i += 2) {
    const uint8_t high = code_of(clamp_to_one(x[i] / largest), search);
    const uint8_t low = code_of(i + 1 < n ? clamp_to_one(x[i + 1] / largest) : 0.0f, search);
    packed[i / 2] = static_cast<uint8_t>(high << 4 | low);
  }
}

/// The first number of a byte is in its high half.
inline uint8_t code_at(const uint8_t* packed, int64_t i) { return (packed[i / 2] >> (i % 2 == 0 ? 4 : 0)) & 15; }

template <typename Isa, typename To>
void decode4(const uint8_t* packed, const float* absmax, int64_t first, int64_t n, int log2_block, const float* code,
             typename To::type* out) {
  const int64_t end = first + n;
  for (int64_t i = first; i < end;) {
    const int64_t next = ((i >> log2_block) + 1) << log2_block;
    const int64_t stop = next < end ? next : end;
    const float scale = *absmax++;
    if (i % 2 != 0) *out++ = To::of(code[code_at(packed, i++)] * scale);
    const int64_t done = Isa::lookup(To(), packed + i / 2, stop - i, code, scale, out);
    out += done;
    for (i += done; i < stop; ++i) *out++ = To::of(code[code_at(packed, i)] * scale);
  }
}

inline uint8_t count_below(float v, const float* threshold) {
  int below = 0;
  for (int step = 128; step > 0; step /= 2) below += v > threshold[below + step - 1] ? step : 0;
  return static_cast<uint8_t>(below);
}

template <typename Isa>
void encode8(const float* x, int64_t n, int64_t block, const float* threshold, uint8_t* q, float* absmax) {
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t count = n - begin < block ? n - begin : block;
    const float largest = Isa::largest(x + begin, count);
    *absmax++ = largest;
    const float factor = 1.0f / largest;
    if (largest == 0) {
      std::memset(q + begin, 0, count);
    } else if (factor > 3.4028234e38f) {  // the largest is so small that its reciprocal is infinite
      for (int64_t i = begin; i < begin + count; ++i) q[i] = count_below(x[i] / largest, threshold);
    } else {
      const int64_t done = Isa::search8(x + begin, count, factor, threshold, q + begin);
      for (int64_t i = begin + done; i < begin + count; ++i) q[i] = count_below(x[i] * factor, threshold);
    }
  }
}

inline void decode8(const uint8_t* q, const float* absmax, int64_t n, int64_t block, const float* code, float* out) {
  for (int64_t begin = 0; begin < n; begin += block) {
    const int64_t end = n - begin < block ? n : begin + block;
    const float scale = *absmax++;
    for (int64_t i = begin; i < end; ++i) out[i] = code[q[i]] * scale;
  }
}

template <typename Isa>
void decode_scales(const uint8_t* q, const float* absmax, int64_t first, int64_t n, const float* code, float offset,
                   float* out) {
  for (int64_t i = first; i < first + n;) {
    const int64_t next = (i / 256 + 1) * 256;
    const int64_t stop = next < first + n ? next : first + n;
    const float scale = absmax[i / 256];
    const int64_t done = Isa::scale_codes(q + i, stop - i, code, scale, offset, out);
    out += done;
    for (i += done; i < stop; ++i) *out++ = code[q[i]] * scale + offset;
  }
}

template <typename Isa, typename To>
void decode_row(const int8_t* q, float scale, int64_t n, typename To::type* out) {
  for (int64_t i = 0; i < n; i += 16) {
    float values[16];
    const int64_t count = n - i < 16 ? n - i : 16;
    for (int64_t j = 0; j < count; ++j) values[j] = static_cast<float>(q[i + j]);
    typename To::type scaled[16];
    for (int64_t j = count; j < 16; ++j) values[j] = 0;
    Isa::scale(To(), values, scale, scaled);
    std::memcpy(out + i, scaled, count * sizeof *out);
  }
}

/// The part of the table that every path fills in the same way.
template <typename Isa>
constexpr Kernels table_of(const char* name) {
  Kernels table{};
  table.name = name;
  table.encode4 = encode4<Isa>;
  table.decode4_float32 = decode4<Isa, Float32>;
  table.decode4_bfloat16 = decode4<Isa, Bfloat16>;
  table.decode4_float16 = decode4<Isa, Float16>;
  table.encode8 = encode8<Isa>;
  table.decode8 = decode8;
  table.decode_scales = decode_scales<Isa>;
  table.decode_row_float32 = decode_row<Isa, Float32>;
  table.decode_row_bfloat16 = decode_row<Isa, Bfloat16>;
  table.decode_row_float16 = decode_row<Isa, Float16>;
  return table;
}

/// The vector steps of a processor without any.
struct Plain {
  using Search = const FourBitSearch&;

  static float largest(const float* x, int64_t n) { return largest_magnitude(x, n); }

  static void encode_block(const float* x, int64_t n, float factor, const FourBitSearch& search, uint8_t* packed) {
    for (int64_t i = 0; i < n; i += 2) {
      const uint8_t high = code_of(clamp_to_one(x[i] * factor), search);
      const uint8_t low = code_of(clamp_to_one(x[i + 1] * factor), search);
      packed[i / 2] = static_cast<uint8_t>(high << 4 | low);
    }
  }

  /// table[i] = code[i] * scale, 16 of them.
  template <typename To>
  static void scale(To, const float* code, float scale, typename To::type* table) {
    for (int i = 0; i < 16; ++i) table[i] = To::of(code[i] * scale);
  }

  /// out[i] = code[number i] * scale for as many of the n numbers, from a whole byte on, as it likes; gives how many.
  template <typename To>
  static int64_t lookup(To, const uint8_t* packed, int64_t n, const float* code, float factor, typename To::type* out) {
    typename To::type table[16];
    scale(To(), code, factor, table);
    for (int64_t i = 0; i + 1 < n; i += 2) {
      out[i] = table[packed[i / 2] >> 4];
      out[i + 1] = table[packed[i / 2] & 15];
    }
    return n / 2 * 2;
  }

  /// q[i] = the number of thresholds below x[i] * factor, for as many as it likes; gives how many.
  static int64_t search8(const float*, int64_t, float, const float*, uint8_t*) { return 0; }

  /// out[i] = code[q[i]] * scale + offset, for as many as it likes; gives how many.
  static int64_t scale_codes(const uint8_t*, int64_t, const float*, float, float, float*) { return 0; }
};

}  // namespace
}  // namespace peftlab
