#pragma once

/// \file
/// The inner loops of quantized weights on a GPU, as plain functions over its memory: core/src/cuda holds them, in a
/// library that is opened where a GPU is used.

#include <quantize/kernels.h>

namespace peftlab {

/// The types that weights are made real in.
enum class Real : int { float32, bfloat16, float16 };

/// A weight in 4-bit codes; all pointers are into the device's memory.
struct FourBitOnDevice {
  const uint8_t* packed;
  const float* table;          ///< the 16 numbers of the codes
  const float* absmax;         ///< the scales of the blocks; null with double quantization
  const uint8_t* scale_codes;  ///< with double quantization: those of the blocks,
  const float* scale_absmax;   ///< one number for 256 of them,
  const float* scale_table;    ///< the 256 numbers of their codes,
  float offset;                ///< and what is added
  int log2_block;
};

/// Each runs on the device's current stream, and gives null or why it could not be started.
struct DeviceKernels {
  /// Kernels::encode4 of n numbers of `type`.
  const char* (*encode4)(int device, const void* x, Real type, int64_t n, int64_t block, FourBitSearch search,
                         uint8_t* packed, float* absmax);
  /// Kernels::decode4_* of the numbers [first, first + n).
  const char* (*decode4)(int device, FourBitOnDevice weight, int64_t first, int64_t n, Real type, void* to);
  /// x W^T of x [rows, in] with rows up to kFewRowsOnDevice, `in` a multiple of 8: sums in float32, y [rows, out].
  const char* (*multiply4)(int device, FourBitOnDevice weight, int64_t in, int64_t out, const void* x, int64_t rows,
                           Real type, void* y);
  /// Rows [first, first + rows) of int8 codes [out, in] with the largest magnitude of each row.
  const char* (*decode8)(int device, const int8_t* q, const float* largest, int64_t in, int64_t first, int64_t rows,
                         Real type, void* to);
};

constexpr int64_t kFewRowsOnDevice = 8;

/// Who gives the kernels, at the first weight that is put on a GPU; null takes them back.
PEFTLAB_API void give_device_kernels(const DeviceKernels& (*giver)());

}  // namespace peftlab
