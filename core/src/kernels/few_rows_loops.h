#pragma once

/// \file
/// The loops behind few_rows.h, compiled for one kind of processor by each file that includes this.

#include "kernels/few_rows.h"
#include "kernels/products.h"

namespace peftlab {
namespace {

// Outputs of a tile lie far apart, so that each is a stream of its own in memory: the processor reads ahead in several
// streams what it does not in one (a third of the time with pages of 4 KB).
#if defined(__AVX512F__)
constexpr int kTileRows = 4, kTileOutputs = 4, kStreams = 8;
#else
constexpr int kTileRows = 4, kTileOutputs = 2, kStreams = 4;
#endif
constexpr int64_t kStreamed = 2;  // rows of x, up to which reading W is all that counts

/// Which of the weights that come next some rows of x ask for, while those at hand are in the nearest caches: the first
/// rows, which bring these, none, and the others a part each.
struct PartOfNext {
  static PartOfNext of(int64_t row, int64_t n, int64_t first, int64_t rows, int64_t size) {
    const int64_t rest = rows - first;
    if (row < first || rest <= 0) return {};
    return {size * (row - first) / rest, size * (row + n - first) / rest};
  }
  bool holds(int64_t i) const { return i >= begin && i < end; }

  int64_t begin = 0, end = 0;
};

/// Outputs o, o + apart, ... of rows of x, products along `in`.
template <int kRows, int kOutputs>
inline void tile_along(const FewRowsCall& call, int64_t row, int64_t o, int64_t apart) {
  const float* const weight = call.weight + o * call.weight_row;
  const float* const x = call.x + row * call.x_row;
  Floats sum[kRows][kOutputs] = {};
  const auto next = PartOfNext::of(row, kRows, kTileRows, call.rows, call.in);
  const auto add = [&](int64_t i, auto read) {
    Floats w[kOutputs];
    if (next.holds(i)) {
#pragma GCC unroll 8
      for (int k = 0; k < kOutputs; ++k) __builtin_prefetch(weight + (k * apart + 1) * call.weight_row + i);
    }
#pragma GCC unroll 8
    for (int k = 0; k < kOutputs; ++k) w[k] = read(weight + k * apart * call.weight_row + i);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      const Floats a = read(x + r * call.x_row + i);
#pragma GCC unroll 8
      for (int k = 0; k < kOutputs; ++k) sum[r][k] += a * w[k];
    }
  };
  int64_t i = 0;
  for (; i + kLanes <= call.in; i += kLanes) add(i, [](const float* at) { return load(at); });
  if (i < call.in) add(i, [n = call.in - i](const float* at) { return load_some(at, n); });
  float total[kRows][kOutputs];
  if constexpr (kRows * kOutputs == kLanes) {
    store(sums_of(&sum[0][0]), &total[0][0]);
  } else {
    for (int r = 0; r < kRows; ++r) {
      for (int k = 0; k < kOutputs; ++k) total[r][k] = sum_of(sum[r][k]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kOutputs; ++k) call.y[(row + r) * call.y_row + o + k * apart] = total[r][k];
  }
}

template <int kOutputs>
inline void rows_along(const FewRowsCall& call, int64_t o, int64_t apart) {
  int64_t row = 0;
  if constexpr (kOutputs <= kTileOutputs) {
    for (; row + kTileRows <= call.rows; row += kTileRows) tile_along<kTileRows, kOutputs>(call, row, o, apart);
    for (; row + 2 <= call.rows; row += 2) tile_along<2, kOutputs>(call, row, o, apart);
  }
  for (; row < call.rows; ++row) tile_along<1, kOutputs>(call, row, o, apart);
}

template <int kOutputs>
inline void outputs_along(const FewRowsCall& call, int64_t begin, int64_t end) {
  const int64_t apart = (end - begin) / kOutputs;
  for (int64_t o = begin; o < begin + apart; ++o) rows_along<kOutputs>(call, o, apart);
  for (int64_t o = begin + kOutputs * apart; o < end; ++o) rows_along<1>(call, o, 0);
}

void along(const FewRowsCall& call, int64_t begin, int64_t end) {
  call.rows <= kStreamed ? outputs_along<kStreams>(call, begin, end) : outputs_along<kTileOutputs>(call, begin, end);
}

/// y += x W^T of one row, for inputs [begin, end) and some columns: four rows of W at a time, so that y is read and written
/// a quarter as often as W is read.
inline void stream_across(const float* weight, int64_t weight_row, const float* x, int64_t begin, int64_t end,
                          int64_t columns, float* y) {
  int64_t i = begin;
  for (; i + 4 <= end; i += 4) {
    const float* const w = weight + i * weight_row;
    const Floats a = splat(x[i]), b = splat(x[i + 1]), c = splat(x[i + 2]), d = splat(x[i + 3]);
    int64_t o = 0;
    const auto add = [&](auto read, auto write) {
      const Floats low = a * read(w + o) + b * read(w + weight_row + o);
      const Floats high = c * read(w + 2 * weight_row + o) + d * read(w + 3 * weight_row + o);
      write(read(y + o) + (low + high), y + o);
    };
    for (; o + kLanes <= columns; o += kLanes) {
      add([](const float* at) { return load(at); }, [](Floats sum, float* to) { store(sum, to); });
    }
    if (o < columns) {
      const int64_t n = columns - o;
      add([n](const float* at) { return load_some(at, n); }, [n](Floats sum, float* to) { store_some(sum, to, n); });
    }
  }
  for (; i < end; ++i) {
    for (int64_t o = 0; o < columns; ++o) y[o] += x[i] * weight[i * weight_row + o];
  }
}

void across(const FewRowsCall& call, int64_t begin, int64_t end) {
  constexpr int64_t kColumns = 4096;  // of y, which stay in the nearest cache
  for (int64_t o = 0; o < call.out; o += kColumns) {
    for (int64_t row = 0; row < call.rows; ++row) {
      stream_across(call.weight + o, call.weight_row, call.x + row * call.x_row, begin, end,
                    std::min(kColumns, call.out - o), call.y + row * call.y_row + o);
    }
  }
}

/// The piece of W that is multiplied next, as multiply() asks for it.
struct NextPiece {
  const float* piece;
  PartOfNext rows = {};

  /// In line, as GCC leaves out a call that does nothing but ask for memory.
  template <int kVectors>
  __attribute__((always_inline)) void ask(int64_t row, int64_t piece_row) const {
    if (!rows.holds(row)) return;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) __builtin_prefetch(piece + row * piece_row + v * kLanes);
  }
  NextPiece from_column(int64_t column) const { return {piece + column, rows}; }
  NextPiece in_rows(int64_t row, int64_t n, int64_t first, int64_t all, int64_t depth) const {
    return {piece, PartOfNext::of(row, n, first, all, depth)};
  }
};

/// W's piece stays in a cache for all rows of x, and is read in long parts: the processor reads ahead within them.
template <int64_t kColumns, int64_t kDepth, typename Ahead>
void columns_in_pieces(const FewRowsCall& call, int64_t begin, int64_t end) {
  for (int64_t o = begin; o < end; o += kColumns) {
    const int64_t columns = std::min(kColumns, end - o), whole = columns / kLanes * kLanes;
    for (int64_t i = 0; i < call.in; i += kDepth) {
      const int64_t depth = std::min(kDepth, call.in - i);
      const float* const piece = call.weight + i * call.weight_row + o;
      const float* const next = i + kDepth < call.in ? piece + kDepth * call.weight_row : call.weight + o + columns;
      multiply<true>({call.x + i, call.x_row, 1}, call.rows, depth, piece, call.weight_row, whole, call.y + o,
                     call.y_row, Ahead{next});
    }
    for (int64_t row = 0; row < call.rows && whole < columns; ++row) {
      stream_across(call.weight + o + whole, call.weight_row, call.x + row * call.x_row, 0, call.in, columns - whole,
                    call.y + row * call.y_row + o + whole);
    }
  }
}

void across_columns(const FewRowsCall& call, int64_t begin, int64_t end) {
  // Fewer rows have too little to multiply beside what is asked for. Measured on a Zen 4 with W [768, 3072] in main
  // memory: 16 rows take 0.86 of the time without asking, 48 rows 0.82.
  constexpr int64_t kRowsThatAsk = 14;
  call.rows < kRowsThatAsk ? columns_in_pieces<1024, 16, NotAhead>(call, begin, end)
                           : columns_in_pieces<512, 32, NextPiece>(call, begin, end);
}

constexpr FewRowsKernels few_rows_table() { return {along, across, across_columns}; }

}  // namespace
}  // namespace peftlab
