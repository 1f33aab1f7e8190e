#pragma once

/// \file
/// The loops behind attention.h, compiled for one kind of processor by each file that includes this.
///
/// Some rows of queries at a time, S = scale Q K^T lies whole in a piece of memory that the caches hold, so that softmax
/// is the plain one. Backward makes S again from the rows' logsumexp, and
///
///     P = exp(S - logsumexp)      dV = P^T dO      dP = dO V^T
///     dS = P (dP - sum(P dP))     dQ = scale dS K  dK = scale dS^T Q
///
/// as in Dao et al., "FlashAttention", 2022, arXiv:2205.14135, appendix B.2, but that rows are not cut in columns.

#include "kernels/attention.h"
#include "kernels/products.h"

#include <cmath>
#include <limits>

namespace peftlab {
namespace {

constexpr int64_t kTile = 24;  // rows of queries at a time
constexpr int64_t kFew = 8;    // up to so many rows, keys and values are read where they lie

inline int64_t whole_vectors(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

/// How the memory of a call is divided.
struct Sizes {
  explicit Sizes(const AttentionCall& call)
      : rows(call.queries * call.group),
        columns(call.front.rows + call.own.rows),
        width(whole_vectors(call.width)),
        // A distance that is no power of two: else the rows of K^T would share few places of the cache.
        spread(whole_vectors(columns) + kLanes),
        tile(std::min(rows, kTile)) {}

  int64_t rows, columns, width, spread, tile;
};

inline int64_t forward_room(const AttentionCall& call) {
  const Sizes size(call);
  return size.width * size.spread + size.columns * size.width + size.tile * (size.spread + 2 * size.width);
}

inline int64_t backward_room(const AttentionCall& call) {
  const Sizes size(call);
  return 2 * size.width * size.spread + 3 * size.columns * size.width + size.tile * (2 * size.spread + 3 * size.width);
}

/// Takes pieces of the room one after the other.
struct Room {
  float* take(int64_t numbers) {
    float* const piece = next;
    next += numbers;
    return piece;
  }
  float* next;
};

template <typename T>
const T* row_of(const GivenRows& rows, int64_t i, int64_t head = 0) {
  return static_cast<const T*>(rows.first) + i * rows.row + head * rows.head;
}
template <typename T>
T* row_of(const WrittenRows& rows, int64_t i, int64_t head = 0) {
  return static_cast<T*>(rows.first) + i * rows.row + head * rows.head;
}
/// Row `row` of all heads' rows, those of a place in the sequence one after the other.
template <typename T, typename Rows>
auto head_row(const AttentionCall& call, const Rows& rows, int64_t row) {
  return row_of<T>(rows, row / call.group, row % call.group);
}

/// `width` numbers as float32, zeros up to a whole vector behind them; times `factor`.
template <typename T>
inline void widen(const T* from, int64_t width, float factor, float* to) {
  int64_t d = 0;
  for (; d + kLanes <= width; d += kLanes) store(load(from + d) * factor, to + d);
  if (d < width) store(load_some(from + d, width - d) * factor, to + d);
}

template <typename T>
inline void narrow(const float* from, int64_t width, float factor, T* to) {
  int64_t d = 0;
  for (; d + kLanes <= width; d += kLanes) store(load(from + d) * factor, to + d);
  if (d < width) store_some(load(from + d) * factor, to + d, width - d);
}

/// Both parts of the columns, one row of `to` [columns, width] each.
template <typename T>
void gather(const GivenRows& front, int64_t front_rows, const GivenRows& own, int64_t own_rows, int64_t width,
            float* to, int64_t to_row) {
  for (int64_t j = 0; j < front_rows; ++j) widen(row_of<T>(front, j), width, 1.0f, to + j * to_row);
  for (int64_t j = 0; j < own_rows; ++j) widen(row_of<T>(own, j), width, 1.0f, to + (front_rows + j) * to_row);
}

/// [columns, width] as [width, spread], zeros up to a whole vector of columns.
inline void turn_columns(const float* from, const Sizes& size, float* to) {
  transpose(from, size.columns, size.width, size.width, to, size.spread);
  for (int64_t d = 0; d < size.width; ++d) {
    std::fill(to + d * size.spread + size.columns, to + d * size.spread + whole_vectors(size.columns), 0.0f);
  }
}

/// Whether the weight of a column is kept: a function of the call's draw, the row and the column alone, so that backward
/// drops what forward did. Wellons' 32-bit mixing, "lowbias32", of the column and a key of the row.
struct Drops {
  Drops(const AttentionCall& call, int64_t row) {
    uint64_t x = call.draw + 0x9E3779B97F4A7C15u * static_cast<uint64_t>(row + 1);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
    key = static_cast<uint32_t>(x >> 32);
    below = static_cast<uint32_t>(static_cast<double>(call.dropout) * 4294967296.0);
    factor = 1.0f / (1.0f - call.dropout);
  }

  /// x of the columns from `column` on, with zeros where they are dropped; what is left is to be multiplied by `factor`.
  Floats apply(Floats x, int64_t column) const {
    Words h{};
    for (int i = 0; i < kLanes; ++i) h[i] = static_cast<uint32_t>(i);
    h = (h + static_cast<uint32_t>(column)) ^ key;
    h = (h ^ (h >> 16)) * 0x7FEB352Du;
    h = (h ^ (h >> 15)) * 0x846CA68Bu;
    h = h ^ (h >> 16);
    return (Floats)((Ints)x & (h >= below));
  }

  uint32_t key, below;
  float factor;
};

inline void hide(const Sight& sight, int64_t columns, float* scores) {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  for (int64_t j = sight.front; j < sight.from; ++j) scores[j] = kNever;
  for (int64_t j = sight.to; j < columns; ++j) scores[j] = kNever;
}

/// scores becomes exp(scores - largest); `columns` is whole vectors. Gives log(sum(exp(scores))) and 1 / sum.
struct Normalizer {
  float logsumexp, factor;
};
inline Normalizer exponentials(float* scores, int64_t columns) {
  Floats most = load(scores);
  for (int64_t j = kLanes; j < columns; j += kLanes) most = max_of(most, load(scores + j));
  const float largest = largest_of(most);
  Floats sum{};
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats e = exp_of(load(scores + j) - largest);
    sum += e;
    store(e, scores + j);
  }
  const float total = sum_of(sum);
  return {largest + std::log(total), 1.0f / total};
}

/// The weights of row `row` after drop-out, but for the factor of all of them.
inline float drop(const AttentionCall& call, int64_t row, int64_t columns, float* weights) {
  if (call.dropout == 0) return 1.0f;
  const Drops drops(call, row);
  for (int64_t j = 0; j < columns; j += kLanes) store(drops.apply(load(weights + j), j), weights + j);
  return drops.factor;
}

template <typename T>
float dot(const float* a, const T* b, int64_t width) {
  Floats sum{};
  int64_t d = 0;
  for (; d + kLanes <= width; d += kLanes) sum += load(a + d) * load(b + d);
  if (d < width) sum += load(a + d) * load_some(b + d, width - d);
  return sum_of(sum);
}

template <typename T>
void add_row(float weight, const T* row, int64_t width, float* sum) {
  int64_t d = 0;
  for (; d + kLanes <= width; d += kLanes) store(load(sum + d) + weight * load(row + d), sum + d);
  if (d < width) store(load(sum + d) + weight * load_some(row + d, width - d), sum + d);
}

/// A few rows of queries: nothing is copied.
template <typename T>
void forward_few(const AttentionCall& call, const WrittenRows& out, float* memory) {
  const Sizes size(call);
  Room room{memory};
  float* const scores = room.take(size.spread);
  float* const query = room.take(size.width);
  float* const sum = room.take(size.width);
  const KeyValuePart* const parts[] = {&call.front, &call.own};
  for (int64_t row = 0; row < size.rows; ++row) {
    const Sight& sight = call.sight[row / call.group];
    const int64_t columns = whole_vectors(sight.to);
    widen(head_row<T>(call, call.query, row), call.width, call.scale, query);
    int64_t j = 0;
    for (const KeyValuePart* part : parts) {
      const int64_t end = std::min<int64_t>(part->rows, sight.to - j);
      for (int64_t i = 0; i < end; ++i) scores[j + i] = dot(query, row_of<T>(part->keys, i), call.width);
      j += std::max<int64_t>(end, 0);
    }
    hide(sight, columns, scores);
    const Normalizer normal = exponentials(scores, columns);
    if (call.logsumexp) call.logsumexp[row] = normal.logsumexp;
    const float factor = normal.factor * drop(call, row, columns, scores);
    for (int64_t d = 0; d < size.width; d += kLanes) store(Floats{}, sum + d);
    j = 0;
    for (const KeyValuePart* part : parts) {
      const int64_t end = std::min<int64_t>(part->rows, sight.to - j);
      for (int64_t i = 0; i < end; ++i) add_row(scores[j + i], row_of<T>(part->values, i), call.width, sum);
      j += std::max<int64_t>(end, 0);
    }
    narrow(sum, call.width, factor, head_row<T>(call, out, row));
  }
}

/// The columns that the rows [first, first + n) look at, in whole vectors.
inline int64_t columns_of(const AttentionCall& call, int64_t first, int64_t n) {
  int64_t most = 0;
  for (int64_t i = first / call.group; i <= (first + n - 1) / call.group; ++i) {
    most = std::max<int64_t>(most, call.sight[i].to);
  }
  return whole_vectors(most);
}

template <typename T>
void forward(const AttentionCall& call, const WrittenRows& out, float* memory) {
  const Sizes size(call);
  if (size.rows <= kFew) return forward_few<T>(call, out, memory);
  Room room{memory};
  float* const turned = room.take(size.width * size.spread);  // K^T
  float* const values = room.take(size.columns * size.width);
  float* const scores = room.take(size.tile * size.spread);
  float* const query = room.take(size.tile * size.width);
  float* const sums = room.take(size.tile * size.width);

  gather<T>(call.front.keys, call.front.rows, call.own.keys, call.own.rows, call.width, values, size.width);
  turn_columns(values, size, turned);
  gather<T>(call.front.values, call.front.rows, call.own.values, call.own.rows, call.width, values, size.width);
  for (int64_t first = 0; first < size.rows; first += size.tile) {
    const int64_t n = std::min(size.tile, size.rows - first), columns = columns_of(call, first, n);
    for (int64_t i = 0; i < n; ++i) {
      widen(head_row<T>(call, call.query, first + i), call.width, call.scale, query + i * size.width);
    }
    multiply<false>({query, size.width, 1}, n, size.width, turned, size.spread, columns, scores, size.spread);
    float factor[kTile];
    for (int64_t i = 0; i < n; ++i) {
      float* const row = scores + i * size.spread;
      hide(call.sight[(first + i) / call.group], columns, row);
      const Normalizer normal = exponentials(row, columns);
      if (call.logsumexp) call.logsumexp[first + i] = normal.logsumexp;
      factor[i] = normal.factor * drop(call, first + i, columns, row);
    }
    multiply<false>({scores, size.spread, 1}, n, std::min(columns, size.columns), values, size.width, size.width, sums,
                    size.width);
    for (int64_t i = 0; i < n; ++i) {
      narrow(sums + i * size.width, call.width, factor[i], head_row<T>(call, out, first + i));
    }
  }
}

/// From scores and dP of one row to the weights after drop-out (in `scores`) and dS (in `dweights`).
inline void backward_row(const AttentionCall& call, int64_t row, int64_t columns, float* scores, float* dweights) {
  hide(call.sight[row / call.group], columns, scores);
  const float logsumexp = call.logsumexp[row];
  Floats sum{};
  if (call.dropout == 0) {
    for (int64_t j = 0; j < columns; j += kLanes) {
      const Floats p = exp_of(load(scores + j) - logsumexp);
      sum += p * load(dweights + j);
      store(p, scores + j);
    }
    const float mean = sum_of(sum);
    for (int64_t j = 0; j < columns; j += kLanes) {
      store(load(scores + j) * (load(dweights + j) - mean), dweights + j);
    }
    return;
  }
  const Drops drops(call, row);
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats p = exp_of(load(scores + j) - logsumexp);
    const Floats dp = drops.apply(load(dweights + j), j) * drops.factor;
    sum += p * dp;
    store(p, scores + j);
    store(dp, dweights + j);
  }
  const float mean = sum_of(sum);
  for (int64_t j = 0; j < columns; j += kLanes) {
    const Floats p = load(scores + j);
    store(p * (load(dweights + j) - mean), dweights + j);
    store(drops.apply(p, j) * drops.factor, scores + j);
  }
}

/// The gradients of the columns: the front's as float32, the sequence's own as their type.
template <typename T>
void scatter(const AttentionCall& call, const float* from, int64_t from_row, float* front, int64_t front_row,
             const WrittenRows& own) {
  for (int64_t j = 0; j < call.front.rows; ++j) narrow(from + j * from_row, call.width, 1.0f, front + j * front_row);
  for (int64_t j = 0; j < call.own.rows; ++j) {
    narrow(from + (call.front.rows + j) * from_row, call.width, 1.0f, row_of<T>(own, j));
  }
}

template <typename T>
void backward(const AttentionCall& call, const AttentionGradients& gradients, float* memory) {
  const Sizes size(call);
  Room room{memory};
  float* const turned_keys = room.take(size.width * size.spread);    // K^T
  float* const turned_values = room.take(size.width * size.spread);  // V^T
  float* const keys = room.take(size.columns * size.width);
  float* const dkeys = room.take(size.columns * size.width);
  float* const dvalues = room.take(size.columns * size.width);
  float* const scores = room.take(size.tile * size.spread);
  float* const dweights = room.take(size.tile * size.spread);
  float* const query = room.take(size.tile * size.width);
  float* const dout = room.take(size.tile * size.width);
  float* const dquery = room.take(size.tile * size.width);

  gather<T>(call.front.values, call.front.rows, call.own.values, call.own.rows, call.width, keys, size.width);
  turn_columns(keys, size, turned_values);
  gather<T>(call.front.keys, call.front.rows, call.own.keys, call.own.rows, call.width, keys, size.width);
  turn_columns(keys, size, turned_keys);
  std::fill_n(dkeys, size.columns * size.width, 0.0f);
  std::fill_n(dvalues, size.columns * size.width, 0.0f);

  for (int64_t first = 0; first < size.rows; first += size.tile) {
    const int64_t n = std::min(size.tile, size.rows - first), columns = columns_of(call, first, n);
    const int64_t seen = std::min(columns, size.columns);
    for (int64_t i = 0; i < n; ++i) {
      widen(head_row<T>(call, call.query, first + i), call.width, call.scale, query + i * size.width);
      widen(head_row<T>(call, gradients.dout, first + i), call.width, 1.0f, dout + i * size.width);
    }
    multiply<false>({query, size.width, 1}, n, size.width, turned_keys, size.spread, columns, scores, size.spread);
    multiply<false>({dout, size.width, 1}, n, size.width, turned_values, size.spread, columns, dweights, size.spread);
    for (int64_t i = 0; i < n; ++i) {
      backward_row(call, first + i, columns, scores + i * size.spread, dweights + i * size.spread);
    }
    multiply<true>({scores, 1, size.spread}, seen, n, dout, size.width, size.width, dvalues, size.width);
    multiply<true>({dweights, 1, size.spread}, seen, n, query, size.width, size.width, dkeys, size.width);
    multiply<false>({dweights, size.spread, 1}, n, seen, keys, size.width, size.width, dquery, size.width);
    for (int64_t i = 0; i < n; ++i) {
      narrow(dquery + i * size.width, call.width, call.scale, head_row<T>(call, gradients.dquery, first + i));
    }
  }
  scatter<T>(call, dkeys, size.width, gradients.dfront_keys, gradients.dfront_row, gradients.dkeys);
  scatter<T>(call, dvalues, size.width, gradients.dfront_values, gradients.dfront_row, gradients.dvalues);
}

constexpr AttentionKernels attention_table() {
  return {forward_room, backward_room,
          [](const AttentionCall& call, const WrittenRows& out, float* room) {
            call.is_bfloat16 ? forward<Bfloat16>(call, out, room) : forward<float>(call, out, room);
          },
          [](const AttentionCall& call, const AttentionGradients& gradients, float* room) {
            call.is_bfloat16 ? backward<Bfloat16>(call, gradients, room) : backward<float>(call, gradients, room);
          }};
}

}  // namespace
}  // namespace peftlab
