#pragma once

/// \file
/// The loops behind pointwise.h, compiled for one kind of processor by each file that includes this.

#include "kernels/pointwise.h"
#include "kernels/vector.h"

#include <cmath>

namespace peftlab {
namespace {

/// f(i, n) for whole vectors, n = kLanes, and for what is left.
template <typename F>
inline void each_vector(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) f(i, static_cast<int64_t>(kLanes));
  if (i < n) f(i, n - i);
}

template <typename T>
inline Floats take(const T* x, int64_t n) {
  return n == kLanes ? load(x) : load_some(x, n);
}
template <typename T>
inline void give(Floats x, T* to, int64_t n) {
  n == kLanes ? store(x, to) : store_some(x, to, n);
}

struct Point {
  Floats value, slope;
};

inline Floats sigmoid(Floats x) { return 1.0f / (1.0f + exp_of(-x)); }

inline Point gelu_tanh(Floats x) {
  constexpr float kRoot = 0.797884561f, kCube = 0.044715f;  // sqrt(2 / pi)
  const Floats square = x * x;
  // (1 + tanh(u)) / 2 = sigmoid(2 u)
  const Floats s = sigmoid(2.0f * kRoot * x * (1.0f + kCube * square));
  return {x * s, s + 2.0f * kRoot * x * s * (1.0f - s) * (1.0f + 3.0f * kCube * square)};
}

inline Point silu(Floats x) {
  const Floats s = sigmoid(x);
  return {x * s, s * (1.0f + x * (1.0f - s))};
}

/// Phi by erfc of Press et al., "Numerical Recipes", section 6.2: t e^(-z^2 + P(t)), t = 1 / (1 + z / 2), within 1.2e-7.
inline Point gelu(Floats x) {
  const Floats z = (x < 0.0f ? -x : x) * 0.707106781f;
  const Floats t = 1.0f / (1.0f + 0.5f * z);
  Floats p = splat(0.17087277f);
  p = p * t - 0.82215223f;
  p = p * t + 1.48851587f;
  p = p * t - 1.13520398f;
  p = p * t + 0.27886807f;
  p = p * t - 0.18628806f;
  p = p * t + 0.09678418f;
  p = p * t + 0.37409196f;
  p = p * t + 1.00002368f;
  p = p * t - 1.26551223f;
  const Floats bell = exp_of(-z * z);
  const Floats tail = 0.5f * t * bell * exp_of(p);  // Phi(-|x|)
  const Floats phi = x < 0.0f ? tail : 1.0f - tail;
  return {x * phi, phi + x * bell * 0.398942280f};
}

template <typename T, Point (*kCurve)(Floats)>
void curve_of(const T* x, int64_t n, T* y, T* slope) {
  if (slope) {
    each_vector(n, [&](int64_t i, int64_t count) {
      const Point found = kCurve(take(x + i, count));
      give(found.value, y + i, count);
      give(found.slope, slope + i, count);
    });
  } else {
    each_vector(n, [&](int64_t i, int64_t count) { give(kCurve(take(x + i, count)).value, y + i, count); });
  }
}

template <typename T>
void curve(Curve f, const void* x, int64_t n, void* y, void* slope) {
  const auto all = [&](auto function) {
    function(static_cast<const T*>(x), n, static_cast<T*>(y), static_cast<T*>(slope));
  };
  switch (f) {
    case Curve::gelu:
      return all(curve_of<T, gelu>);
    case Curve::gelu_tanh:
      return all(curve_of<T, gelu_tanh>);
    case Curve::silu:
      return all(curve_of<T, silu>);
  }
}

template <typename T>
void add(const T* y, const float* more, int64_t n, T* sum) {
  each_vector(n, [&](int64_t i, int64_t count) { give(take(y + i, count) + take(more + i, count), sum + i, count); });
}

template <typename T>
void silu_times(const T* gate, const T* up, int64_t n, T* y) {
  each_vector(n, [&](int64_t i, int64_t count) {
    give(silu(take(gate + i, count)).value * take(up + i, count), y + i, count);
  });
}

template <typename T>
void silu_times_back(const T* gate, const T* up, const T* dy, int64_t n, T* dgate, T* dup) {
  each_vector(n, [&](int64_t i, int64_t count) {
    const Point at = silu(take(gate + i, count));
    const Floats d = take(dy + i, count);
    give(d * take(up + i, count) * at.slope, dgate + i, count);
    give(d * at.value, dup + i, count);
  });
}

template <typename T>
void rms_norm(const T* x, const T* weight, int64_t rows, int64_t width, float eps, T* y, float* reciprocals) {
  for (int64_t row = 0; row < rows; ++row, x += width, y += width) {
    Floats squares{};
    each_vector(width, [&](int64_t i, int64_t count) {
      const Floats a = take(x + i, count);
      squares += a * a;
    });
    const float r = 1.0f / std::sqrt(sum_of(squares) / static_cast<float>(width) + eps);
    reciprocals[row] = r;
    each_vector(width, [&](int64_t i, int64_t count) {
      give(take(weight + i, count) * (take(x + i, count) * r), y + i, count);
    });
  }
}

template <typename T>
void rms_norm_back(const T* x, const T* weight, const T* dy, const float* reciprocals, int64_t rows, int64_t width,
                   T* dx, float* dweight) {
  for (int64_t row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
    const float r = reciprocals[row];
    Floats along{};
    each_vector(width, [&](int64_t i, int64_t count) {
      along += take(dy + i, count) * take(weight + i, count) * take(x + i, count);
    });
    const float back = sum_of(along) * r * r * r / static_cast<float>(width);
    each_vector(width, [&](int64_t i, int64_t count) {
      const Floats a = take(x + i, count), d = take(dy + i, count);
      give(d * take(weight + i, count) * r - a * back, dx + i, count);
      if (dweight) give(take(dweight + i, count) + d * a * r, dweight + i, count);
    });
  }
}

/// turn() of whole vectors of pieces of 2 kHalf numbers: a number's partner is kHalf lanes away.
template <int kHalf, typename T>
void turn_small(const T* x, const float* c, const float* s, float sign, int64_t n, T* y) {
  Floats signs;
  for (int i = 0; i < kLanes; ++i) signs[i] = (i & kHalf) != 0 ? sign : -sign;
  for (int64_t i = 0; i < n; i += kLanes) {
    const Floats a = load(x + i);
    store(load(c + i) * a + load(s + i) * signs * swapped<kHalf>(a), y + i);
  }
}

template <typename T>
void turn(const T* x, const float* c, const float* s, float sign, int64_t pieces, int64_t half, T* y) {
  if (const int64_t n = pieces * 2 * half; half < kLanes && n % kLanes == 0) {
    if (half == 8 && kLanes > 8) return turn_small<8>(x, c, s, sign, n, y);
    if (half == 4 && kLanes > 4) return turn_small<4>(x, c, s, sign, n, y);
  }
  for (int64_t piece = 0; piece < pieces; ++piece, x += 2 * half, y += 2 * half, c += 2 * half, s += 2 * half) {
    each_vector(half, [&](int64_t i, int64_t count) {
      const Floats a = take(x + i, count), b = take(x + half + i, count);
      const Floats cosine = take(c + i, count), sine = take(s + i, count) * sign;
      give(cosine * a - sine * b, y + i, count);
      give(cosine * b + sine * a, y + half + i, count);
    });
  }
}

template <typename T>
float logsumexp(const T* x, int64_t n) {
  float largest = number(x[0]);
  Floats most = splat(largest);
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) most = max_of(most, load(x + i));
  largest = largest_of(most);
  for (; i < n; ++i) largest = number(x[i]) > largest ? number(x[i]) : largest;
  Floats sum{};
  i = 0;
  for (; i + kLanes <= n; i += kLanes) sum += exp_of(load(x + i) - largest);
  float total = sum_of(sum);
  for (; i < n; ++i) total += std::exp(number(x[i]) - largest);
  return largest + std::log(total);
}

template <typename T>
void softmax(const T* x, float logsumexp, float factor, int64_t n, T* y) {
  each_vector(n,
              [&](int64_t i, int64_t count) { give(exp_of(take(x + i, count) - logsumexp) * factor, y + i, count); });
}

/// f(T()) for the type that is meant.
template <typename F>
inline auto typed(bool is_bfloat16, const F& f) {
  return is_bfloat16 ? f(Bfloat16()) : f(float());
}
template <typename T>
const T* as(const void* x, T) {
  return static_cast<const T*>(x);
}
template <typename T>
T* as(void* x, T) {
  return static_cast<T*>(x);
}

constexpr PointwiseKernels pointwise_table() {
  PointwiseKernels table{};
  table.curve = [](Curve f, bool is_bfloat16, const void* x, int64_t n, void* y, void* slope) {
    is_bfloat16 ? curve<Bfloat16>(f, x, n, y, slope) : curve<float>(f, x, n, y, slope);
  };
  table.add_to_bfloat16 = [](const void* y, const float* more, int64_t n, void* sum) {
    add(static_cast<const Bfloat16*>(y), more, n, static_cast<Bfloat16*>(sum));
  };
  table.silu_times = [](bool is_bfloat16, const void* gate, const void* up, int64_t n, void* y) {
    typed(is_bfloat16, [&](auto t) { silu_times(as(gate, t), as(up, t), n, as(y, t)); });
  };
  table.silu_times_back = [](bool is_bfloat16, const void* gate, const void* up, const void* dy, int64_t n, void* dgate,
                             void* dup) {
    typed(is_bfloat16,
          [&](auto t) { silu_times_back(as(gate, t), as(up, t), as(dy, t), n, as(dgate, t), as(dup, t)); });
  };
  table.rms_norm = [](bool is_bfloat16, const void* x, const void* weight, int64_t rows, int64_t width, float eps,
                      void* y, float* reciprocals) {
    typed(is_bfloat16, [&](auto t) { rms_norm(as(x, t), as(weight, t), rows, width, eps, as(y, t), reciprocals); });
  };
  table.rms_norm_back = [](bool is_bfloat16, const void* x, const void* weight, const void* dy,
                           const float* reciprocals, int64_t rows, int64_t width, void* dx, float* dweight) {
    typed(is_bfloat16, [&](auto t) {
      rms_norm_back(as(x, t), as(weight, t), as(dy, t), reciprocals, rows, width, as(dx, t), dweight);
    });
  };
  table.turn = [](bool is_bfloat16, const void* x, const float* c, const float* s, float sign, int64_t pieces,
                  int64_t half,
                  void* y) { typed(is_bfloat16, [&](auto t) { turn(as(x, t), c, s, sign, pieces, half, as(y, t)); }); };
  table.logsumexp = [](bool is_bfloat16, const void* x, int64_t n) {
    return typed(is_bfloat16, [&](auto t) { return logsumexp(as(x, t), n); });
  };
  table.softmax = [](bool is_bfloat16, const void* x, float logsumexp, float factor, int64_t n, void* y) {
    typed(is_bfloat16, [&](auto t) { softmax(as(x, t), logsumexp, factor, n, as(y, t)); });
  };
  return table;
}

}  // namespace
}  // namespace peftlab
