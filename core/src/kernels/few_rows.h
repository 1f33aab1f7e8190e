#pragma once

/// \file
/// y = x W^T in float32 for a few rows x, reading each weight once where it lies: what it takes to read W is most of the
/// time.

#include <cstdint>

namespace peftlab {

struct FewRowsCall {
  const float* weight = nullptr;
  int64_t weight_row = 0;    ///< numbers from one of its rows to the next
  const float* x = nullptr;  ///< [rows, x_row]
  int64_t x_row = 0;
  int64_t rows = 0, in = 0, out = 0;
  float* y = nullptr;  ///< [rows, y_row]
  int64_t y_row = 0;
};

struct FewRowsKernels {
  /// W lies as [out, in]: columns [begin, end) of y.
  void (*along)(const FewRowsCall&, int64_t begin, int64_t end);
  /// W lies as [in, out]: what inputs [begin, end) give is added to y. For one row or two.
  void (*across)(const FewRowsCall&, int64_t begin, int64_t end);
  /// W lies as [in, out]: what all inputs give is added to columns [begin, end) of y. For more rows.
  void (*across_columns)(const FewRowsCall&, int64_t begin, int64_t end);
};

/// Those of the best path.
const FewRowsKernels& few_rows_kernels();

extern const FewRowsKernels kFewRowsPlain, kFewRowsAvx2, kFewRowsAvx512;

}  // namespace peftlab
