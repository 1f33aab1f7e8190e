// Products of processors with AVX-512 BF16, which multiply 32 pairs of bfloat16 at a time. Compiled with those
// instructions: reached through kernels() alone.
#include <quantize/kernels.h>

#ifdef __AVX512BF16__
#include <immintrin.h>

namespace peftlab {
namespace {

/// y[j, row] for the kWeights rows j of codes from `packed` on and kRows rows of x.
template <int kRows, int kWeights>
void dot(const uint8_t* packed, const float* absmax, int64_t n, int log2_block, __m512i numbers, __m512i scale_of,
         const uint16_t* x, float* y) {
  __m512 total[kWeights][kRows];
  for (auto& row : total) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  for (int64_t i = 0; i < n; i += kGroup) {
    __m512i words[kWeights];
    __m512 sum[kWeights][kRows];
    for (int j = 0; j < kWeights; ++j) {
      words[j] = _mm512_loadu_si512(packed + (j * n + i) / 2);
      for (auto& s : sum[j]) s = _mm512_setzero_ps();
    }
    for (int nibble = 0; nibble < 4; ++nibble) {
      __m512bh factor[kRows];
      for (int row = 0; row < kRows; ++row) {
        factor[row] = (__m512bh)_mm512_loadu_si512(x + row * n + i + 32 * nibble);
      }
      for (int j = 0; j < kWeights; ++j) {
        // The permutation looks at the lowest five bits alone, and the table holds the codes twice.
        const __m512bh w = (__m512bh)_mm512_permutexvar_epi16(words[j], numbers);
        words[j] = _mm512_srli_epi16(words[j], 4);
        for (int row = 0; row < kRows; ++row) sum[j][row] = _mm512_dpbf16_ps(sum[j][row], w, factor[row]);
      }
    }
    for (int j = 0; j < kWeights; ++j) {
      const __m512 scale = _mm512_permutexvar_ps(scale_of, _mm512_loadu_ps(absmax + ((j * n + i) >> log2_block)));
      for (int row = 0; row < kRows; ++row) total[j][row] = _mm512_fmadd_ps(sum[j][row], scale, total[j][row]);
    }
  }
  for (int j = 0; j < kWeights; ++j) {
    for (int row = 0; row < kRows; ++row) y[j * kRows + row] = _mm512_reduce_add_ps(total[j][row]);
  }
}

template <int kRows, int kWeights>
void dot_all(const uint8_t* packed, const float* absmax, int64_t n, int64_t weights, int log2_block, const float* code,
             const uint16_t* x, float* y) {
  const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(code));
  const __m512i numbers = _mm512_broadcast_i64x4(rounded);
  // The blocks of the 16 eights of numbers of a group.
  const __m512i eight = _mm512_setr_epi32(0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120);
  const __m512i scale_of =
      log2_block >= 7 ? _mm512_setzero_si512() : _mm512_srl_epi32(eight, _mm_cvtsi32_si128(log2_block));
  int64_t j = 0;
  for (; j + kWeights <= weights; j += kWeights) {
    dot<kRows, kWeights>(packed + j * n / 2, absmax + (j * n >> log2_block), n, log2_block, numbers, scale_of, x,
                         y + j * kRows);
  }
  for (; j < weights; ++j) {
    dot<kRows, 1>(packed + j * n / 2, absmax + (j * n >> log2_block), n, log2_block, numbers, scale_of, x,
                  y + j * kRows);
  }
}

void dot4(const uint8_t* packed, const float* absmax, int64_t n, int64_t weights, int log2_block, const float* code,
          const uint16_t* x, int64_t rows, float* y) {
  switch (rows) {
    case 1:
      return dot_all<1, 4>(packed, absmax, n, weights, log2_block, code, x, y);
    case 2:
      return dot_all<2, 4>(packed, absmax, n, weights, log2_block, code, x, y);
    case 3:
      return dot_all<3, 4>(packed, absmax, n, weights, log2_block, code, x, y);
    default:
      return dot_all<4, 4>(packed, absmax, n, weights, log2_block, code, x, y);
  }
}

}  // namespace

const Dot4Bfloat16 kDot4Bf16 = dot4;

}  // namespace peftlab

#else
namespace peftlab {
const Dot4Bfloat16 kDot4Bf16 = nullptr;
}  // namespace peftlab
#endif
