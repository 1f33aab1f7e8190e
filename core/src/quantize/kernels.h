#pragma once

/// \file
/// The inner loops of this room, once for each kind of processor. The files behind it are compiled with instructions
/// that the processor at hand may lack: they include nothing that others share, and are reached by kernels() alone.

#include <peftlab/export.h>

#include <cstdint>

namespace peftlab {

/// Weights in a group that the products of few rows take at a time: 64 bytes of 4-bit codes.
constexpr int64_t kGroup = 128;
/// Floats behind the scales of a row that a product of few rows may read, and ignores.
constexpr int64_t kScalePadding = 16;

/// How a number in [-1, 1] becomes a 4-bit code: code[order[the number of thresholds below it]] is near it.
struct FourBitSearch {
  float threshold[16];  ///< 15, ascending, and infinity
  uint8_t order[16];    ///< the codes in ascending order of their numbers
};

using Dot4Float32 = void (*)(const uint8_t* packed, const float* absmax, int64_t n, int64_t weights, int log2_block,
                             const float* code, const float* x, int64_t rows, float* y);
using Dot4Bfloat16 = void (*)(const uint8_t* packed, const float* absmax, int64_t n, int64_t weights, int log2_block,
                              const float* code, const uint16_t* x, int64_t rows, float* y);

struct PieceKernels;

/// Encoding and decoding give the same bits on every path. Memory formats are those of four_bit.h and blockwise8.h.
struct Kernels {
  const char* name;

  void (*encode4)(const float* x, int64_t n, int64_t block, const FourBitSearch& search, uint8_t* packed,
                  float* absmax);

  /// The numbers [first, first + n) of a weight, times their scale and rounded to nearest even, as float32, bfloat16 or
  /// float16. `packed` is the whole weight, absmax[0] the scale of the block of `first`, `code` holds 16 numbers.
  void (*decode4_float32)(const uint8_t* packed, const float* absmax, int64_t first, int64_t n, int log2_block,
                          const float* code, float* out);
  void (*decode4_bfloat16)(const uint8_t* packed, const float* absmax, int64_t first, int64_t n, int log2_block,
                           const float* code, uint16_t* out);
  void (*decode4_float16)(const uint8_t* packed, const float* absmax, int64_t first, int64_t n, int log2_block,
                          const float* code, uint16_t* out);

  /// `threshold`: 256 ascending numbers, the last infinity; q is the number of them below x / absmax.
  void (*encode8)(const float* x, int64_t n, int64_t block, const float* threshold, uint8_t* q, float* absmax);
  void (*decode8)(const uint8_t* q, const float* absmax, int64_t n, int64_t block, const float* code, float* out);
  /// The scales [first, first + n) of a weight: code[q[i]] * absmax[i / 256] + offset.
  void (*decode_scales)(const uint8_t* q, const float* absmax, int64_t first, int64_t n, const float* code,
                        float offset, float* out);

  /// out[i] = q[i] * scale.
  void (*decode_row_float32)(const int8_t* q, float scale, int64_t n, float* out);
  void (*decode_row_bfloat16)(const int8_t* q, float scale, int64_t n, uint16_t* out);
  void (*decode_row_float16)(const int8_t* q, float scale, int64_t n, uint16_t* out);

  /// y[j, i] = w[j] . x[i] for `rows` (1 to 4) rows x [rows, n] and `weights` rows of codes with their scales; sums in
  /// float32. n is a multiple of kGroup and of the block, and x is rearranged by rearrange_float32() or
  /// rearrange_bfloat16(). Null where the processor would gain nothing by it.
  Dot4Float32 dot4_float32;
  Dot4Bfloat16 dot4_bfloat16;
  /// Products of more rows in bfloat16 (pieces.h). Null where the processor has no instructions for them.
  const PieceKernels* pieces;
};

/// The fastest that this processor can, or less: PEFTLAB_CPU = plain, avx2, avx512 or bf16 in the environment caps it.
/// Throws: ConfigError for another value of that variable.
PEFTLAB_API const Kernels& kernels();

/// One path by its name, or null where there is none of that name or this processor cannot. For tests.
PEFTLAB_API const Kernels* kernels_named(const char* name);

/// Makes `path` what kernels() gives. For tests: nothing may be computing meanwhile.
PEFTLAB_API void use_kernels(const Kernels& path);

/// Puts the numbers of each group in the order in which 32-bit (float32) or 16-bit words (bfloat16) of codes give them
/// up: all the numbers of the words' lowest four bits, then those of the next four. x and out [n].
void rearrange_float32(const float* x, int64_t n, float* out);
void rearrange_bfloat16(const uint16_t* x, int64_t n, uint16_t* out);

extern const Kernels kPlainKernels;
extern const Kernels kAvx2Kernels;
extern const Kernels kAvx512Kernels;
extern const Dot4Bfloat16 kDot4Bf16;  ///< added to the AVX-512 path where the processor has the instructions

}  // namespace peftlab
