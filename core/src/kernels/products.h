#pragma once

/// \file
/// Products of small matrices of float32 that lie in the caches, as attention needs them.

#include "kernels/vector.h"

#include <algorithm>

namespace peftlab {
namespace {

#if defined(__AVX512F__)
constexpr int kRowsAtOnce = 6, kVectorsAtOnce = 4;
#else
constexpr int kRowsAtOnce = 4, kVectorsAtOnce = 2;  // there are 16 registers
#endif

template <int kRows>
struct Height {
  static constexpr int value = kRows;
};

/// work(Height<height>()), for a height from 1 to kMost.
template <int kMost, typename Work>
inline void of_height(int64_t height, const Work& work) {
  if constexpr (kMost > 0) height == kMost ? work(Height<kMost>()) : of_height<kMost - 1>(height, work);
}

/// A matrix with any distance between its rows and between its columns.
struct Strided {
  const float* first;
  int64_t row, column;
};

/// Nothing is asked for ahead.
struct NotAhead {
  const float* ignored = nullptr;

  template <int kVectors>
  void ask(int64_t, int64_t) const {}
  NotAhead from_column(int64_t) const { return {}; }
  NotAhead in_rows(int64_t, int64_t, int64_t, int64_t, int64_t) const { return {}; }
};

/// to[i, :] (+)= sum over j of a[i, j] b[j, :] for kRows rows and kVectors vectors of columns.
template <int kRows, int kVectors, bool kAdds, typename Ahead>
inline void block(const Strided& a, int64_t depth, const float* b, int64_t b_row, float* to, int64_t to_row,
                  const Ahead& ahead) {
  Floats sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = kAdds ? load(to + i * to_row + v * kLanes) : Floats{};
  }
  for (int64_t j = 0; j < depth; ++j) {
    Floats right[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) right[v] = load(b + j * b_row + v * kLanes);
    ahead.template ask<kVectors>(j, b_row);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Floats left = splat(a.first[i * a.row + j * a.column]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] += left * right[v];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) store(sum[i][v], to + i * to_row + v * kLanes);
  }
}

template <int kRows, bool kAdds, typename Ahead>
inline void some_rows(const Strided& a, int64_t depth, const float* b, int64_t b_row, int64_t columns, float* to,
                      int64_t to_row, const Ahead& ahead) {
  int64_t c = 0;
  for (; c + kVectorsAtOnce * kLanes <= columns; c += kVectorsAtOnce * kLanes) {
    block<kRows, kVectorsAtOnce, kAdds>(a, depth, b + c, b_row, to + c, to_row, ahead.from_column(c));
  }
  for (; c + 2 * kLanes <= columns; c += 2 * kLanes) {
    block<kRows, 2, kAdds>(a, depth, b + c, b_row, to + c, to_row, ahead.from_column(c));
  }
  if (c < columns) block<kRows, 1, kAdds>(a, depth, b + c, b_row, to + c, to_row, ahead.from_column(c));
}

/// Row c of `to`, [columns] rows that are to_row numbers apart, is column c of `from` [rows, columns].
inline void transpose(const float* from, int64_t rows, int64_t from_row, int64_t columns, float* to, int64_t to_row) {
  typedef float Four __attribute__((vector_size(16)));
  typedef float FourAnywhere __attribute__((vector_size(16), aligned(4), may_alias));
  typedef int32_t Places __attribute__((vector_size(16)));
  const auto read = [](const float* at) -> Four { return *reinterpret_cast<const FourAnywhere*>(at); };
  const auto write = [](Four numbers, float* at) { *reinterpret_cast<FourAnywhere*>(at) = numbers; };
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
    int64_t c = 0;
    for (; c + 4 <= columns; c += 4) {
      const float* const at = from + i * from_row + c;
      const Four r0 = read(at), r1 = read(at + from_row), r2 = read(at + 2 * from_row), r3 = read(at + 3 * from_row);
      const Four even_low = __builtin_shuffle(r0, r2, Places{0, 4, 1, 5});
      const Four even_high = __builtin_shuffle(r0, r2, Places{2, 6, 3, 7});
      const Four odd_low = __builtin_shuffle(r1, r3, Places{0, 4, 1, 5});
      const Four odd_high = __builtin_shuffle(r1, r3, Places{2, 6, 3, 7});
      float* const out = to + c * to_row + i;
      write(__builtin_shuffle(even_low, odd_low, Places{0, 4, 1, 5}), out);
      write(__builtin_shuffle(even_low, odd_low, Places{2, 6, 3, 7}), out + to_row);
      write(__builtin_shuffle(even_high, odd_high, Places{0, 4, 1, 5}), out + 2 * to_row);
      write(__builtin_shuffle(even_high, odd_high, Places{2, 6, 3, 7}), out + 3 * to_row);
    }
    for (; c < columns; ++c) {
      for (int64_t j = i; j < i + 4; ++j) to[c * to_row + j] = from[j * from_row + c];
    }
  }
  for (; i < rows; ++i) {
    for (int64_t c = 0; c < columns; ++c) to[c * to_row + i] = from[i * from_row + c];
  }
}

/// to [rows, columns] (+)= a [rows, depth] b [depth, columns]; `columns` is a multiple of kLanes.
template <bool kAdds, typename Ahead = NotAhead>
inline void multiply(const Strided& a, int64_t rows, int64_t depth, const float* b, int64_t b_row, int64_t columns,
                     float* to, int64_t to_row, const Ahead& ahead = {}) {
  // Heights differ by a row at most: two rows alone would take as long as four.
  const int64_t tiles = (rows + kRowsAtOnce - 1) / kRowsAtOnce, first = rows / std::max<int64_t>(1, tiles);
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t i = rows * tile / tiles, n = rows * (tile + 1) / tiles - i;
    of_height<kRowsAtOnce>(n, [&](auto height) {
      some_rows<decltype(height)::value, kAdds>({a.first + i * a.row, a.row, a.column}, depth, b, b_row, columns,
                                                to + i * to_row, to_row, ahead.in_rows(i, n, first, rows, depth));
    });
  }
}

}  // namespace
}  // namespace peftlab
