#pragma once

/// \file
/// Products in bfloat16 with 4-bit codes for tens of rows: a piece of W is decoded once for all rows, into a core's own
/// cache and in the order in which the processor multiplies pairs of bfloat16.

#include <cstdint>

namespace peftlab {

/// Numbers of a row of W that are decoded at a time, and have one scale: `in` and the blocks are multiples of it.
constexpr int64_t kRun = 64;
constexpr int64_t kOutputsAlong = 8;  ///< rows of W in a piece for x W^T

struct CodesOfWeight {
  const uint8_t* packed = nullptr;  ///< W [out, in] as in four_bit.h
  const float* absmax = nullptr;    ///< of all blocks
  const float* code = nullptr;      ///< 16 numbers
  int log2_block = 0;
  int64_t out = 0, in = 0;
};

/// Columns, their number and strides count numbers. Sums are float32, and are added to what is there.
struct PieceKernels {
  /// x [rows, in] in the order in which along() reads it. to [rows * in].
  void (*arrange)(const uint16_t* x, int64_t rows, int64_t in, uint16_t* to);
  /// sums[r, o] += W[row + o] . x[r] over `columns` columns from `column` on, sums [rows, kOutputsAlong]; x from
  /// arrange(). The last row of W stands for those behind it. piece [kOutputsAlong * columns] is written.
  void (*along)(const CodesOfWeight& w, int64_t row, int64_t column, int64_t columns, const uint16_t* x, int64_t rows,
                float* sums, int64_t sums_row, uint16_t* piece);
  /// sums [rows, kRun] += x[:, row : row + depth] W[row : row + depth, column : column + kRun], depth even, x [rows, out];
  /// the sums of a row are in an order of their own. piece [depth * kRun] is written.
  void (*across)(const CodesOfWeight& w, int64_t row, int64_t depth, int64_t column, const uint16_t* x, int64_t rows,
                 float* sums, int64_t sums_row, uint16_t* piece);

  /// n sums of along(), rounded to bfloat16; those of across(), brought in order as well.
  void (*round_along)(const float* sums, int64_t n, uint16_t* y);
  void (*round_across)(const float* sums, int64_t n, uint16_t* y);
};

extern const PieceKernels* const kPiecesBf16;  ///< null where the compiler does not know the instructions

}  // namespace peftlab
