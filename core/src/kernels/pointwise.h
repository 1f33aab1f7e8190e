#pragma once

/// \file
/// What is done number by number, in one pass where LibTorch's operations make several. Pointers are to float32, or to
/// bfloat16 where `is_bfloat16` says so; within, all is float32.

#include <cstdint>

namespace peftlab {

enum class Curve {
  gelu,       ///< x Phi(x)
  gelu_tanh,  ///< x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))
  silu,       ///< x / (1 + e^-x)
};

struct PointwiseKernels {
  /// y = f(x), and f'(x) where `slope` is not null.
  void (*curve)(Curve f, bool is_bfloat16, const void* x, int64_t n, void* y, void* slope);

  /// sum = y + more of bfloat16 y and float32 `more`, rounded once.
  void (*add_to_bfloat16)(const void* y, const float* more, int64_t n, void* sum);

  /// y = silu(gate) * up, and the gradients from dy.
  void (*silu_times)(bool is_bfloat16, const void* gate, const void* up, int64_t n, void* y);
  void (*silu_times_back)(bool is_bfloat16, const void* gate, const void* up, const void* dy, int64_t n, void* dgate,
                          void* dup);

  /// Row by row of `width` numbers: y = weight * x / sqrt(mean(x^2) + eps), and the divisor's reciprocal.
  void (*rms_norm)(bool is_bfloat16, const void* x, const void* weight, int64_t rows, int64_t width, float eps, void* y,
                   float* reciprocals);
  /// dx; and where `dweight` is not null the rows' part of it, float32 [width], is added there.
  void (*rms_norm_back)(bool is_bfloat16, const void* x, const void* weight, const void* dy, const float* reciprocals,
                        int64_t rows, int64_t width, void* dx, float* dweight);

  /// Pairs (i, i + half) of `pieces` pieces of 2 half numbers each, turned by an angle of cosine c and sine s:
  /// y_i = c_i x_i - s_i x_{i + half}, y_{i + half} = c_i x_{i + half} + s_i x_i. `c` and `s` hold the angles of a piece
  /// twice, [pieces, 2 half]; `sign` -1 turns back.
  void (*turn)(bool is_bfloat16, const void* x, const float* c, const float* s, float sign, int64_t pieces,
               int64_t half, void* y);

  /// log(sum(exp(x))) of n numbers.
  float (*logsumexp)(bool is_bfloat16, const void* x, int64_t n);
  /// y = factor * exp(x - logsumexp).
  void (*softmax)(bool is_bfloat16, const void* x, float logsumexp, float factor, int64_t n, void* y);
};

/// Those of the best path.
const PointwiseKernels& pointwise_kernels();

extern const PointwiseKernels kPointwisePlain, kPointwiseAvx2, kPointwiseAvx512;

}  // namespace peftlab
