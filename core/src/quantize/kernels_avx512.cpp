// The path of processors with AVX-512 F, BW, DQ and VL. Compiled with those instructions: reached through kernels()
// alone.
#include <quantize/kernels_loops.h>

#ifdef __AVX512BW__
#include <immintrin.h>

namespace peftlab {
namespace {

struct Avx512 : Plain {
  /// [-1, 1] in 32 slots, each with the number of thresholds below it and the one within it, if there is one: a single
  /// comparison is left then. FP4 has slots with several, and is searched.
  struct Search {
    explicit Search(const FourBitSearch& search)
        : threshold(_mm512_loadu_ps(search.threshold)),
          order(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(search.order)))) {
      float within[32];
      int32_t below[32];
      int next = 0;
      for (int slot = 0; slot < 32; ++slot) {
        below[slot] = next;
        within[slot] = search.threshold[15];
        if (next < 15 && slot_of(search.threshold[next]) == slot) within[slot] = search.threshold[next++];
      }
      one_a_slot = next == 15;
      for (int half = 0; half < 2; ++half) {
        slot_threshold[half] = _mm512_loadu_ps(within + 16 * half);
        slot_below[half] = _mm512_loadu_si512(below + 16 * half);
      }
    }
    __m512 threshold, slot_threshold[2];
    __m512i order, slot_below[2];
    bool one_a_slot;
  };

  /// The same steps as for a vector: what they round does not matter, as long as no larger number has a lower slot.
  static int slot_of(float v) {
    const int slot = static_cast<int>(v * 16.0f + 16.0f);
    return slot < 31 ? slot : 31;
  }
  static __m512i slots_of(__m512 v) {
    const __m512 sixteen = _mm512_set1_ps(16.0f);
    const __m512i slot = _mm512_cvttps_epi32(_mm512_add_ps(_mm512_mul_ps(v, sixteen), sixteen));
    return _mm512_min_epi32(slot, _mm512_set1_epi32(31));
  }

  static float largest(const float* x, int64_t n) {
    const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
    __m512i largest = _mm512_setzero_si512();
    for (int64_t i = 0; i < n; i += 16) {
      const __mmask16 mask = n - i < 16 ? static_cast<__mmask16>((1u << (n - i)) - 1) : __mmask16(0xFFFF);
      largest = _mm512_max_epu32(largest, _mm512_and_si512(_mm512_maskz_loadu_epi32(mask, x + i), magnitude));
    }
    return float_of(_mm512_reduce_max_epu32(largest));
  }

  /// One step of a binary search among 16 thresholds: goes `step` up where v is above the last threshold below that.
  static __m512i go_up(__m512i place, __m512 v, __m512 threshold, int step) {
    const __m512i last = _mm512_add_epi32(place, _mm512_set1_epi32(step - 1));
    const __mmask16 above = _mm512_cmp_ps_mask(v, _mm512_permutexvar_ps(last, threshold), _CMP_GT_OQ);
    return _mm512_mask_add_epi32(place, above, place, _mm512_set1_epi32(step));
  }

  static __m512i places_by_slot(__m512 v, const Search& search) {
    const __m512i slot = slots_of(v);
    const __m512 threshold = _mm512_permutex2var_ps(search.slot_threshold[0], slot, search.slot_threshold[1]);
    const __m512i below = _mm512_permutex2var_epi32(search.slot_below[0], slot, search.slot_below[1]);
    return _mm512_mask_add_epi32(below, _mm512_cmp_ps_mask(v, threshold, _CMP_GT_OQ), below, _mm512_set1_epi32(1));
  }

  static __m512i places(__m512 v, __m512 threshold) {
    __m512i place = _mm512_setzero_si512();
    for (int step = 8; step > 0; step /= 2) place = go_up(place, v, threshold, step);
    return place;
  }

  static void encode_block(const float* x, int64_t n, float factor, const Search& search, uint8_t* packed) {
    if (search.one_a_slot) {
      encode_numbers(x, n, factor, search, packed, [&](__m512 v) { return places_by_slot(v, search); });
    } else {
      encode_numbers(x, n, factor, search, packed, [&](__m512 v) { return places(v, search.threshold); });
    }
  }

  /// `places_of`: the number of thresholds below each of 16 numbers.
  template <typename Places>
  static void encode_numbers(const float* x, int64_t n, float factor, const Search& search, uint8_t* packed,
                             const Places& places_of) {
    const __m512 scale = _mm512_set1_ps(factor), one = _mm512_set1_ps(1.0f), minus_one = _mm512_set1_ps(-1.0f);
    for (int64_t i = 0; i < n; i += 16) {
      const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), scale);
      const __m512i place = places_of(_mm512_min_ps(_mm512_max_ps(v, minus_one), one));
      const __m128i codes = _mm512_cvtepi32_epi8(_mm512_permutexvar_epi32(place, search.order));
      const __m128i pairs = _mm_maddubs_epi16(codes, _mm_set1_epi16(0x0110));  // the first of each two times 16
      _mm_storel_epi64(reinterpret_cast<__m128i*>(packed + i / 2), _mm_packus_epi16(pairs, pairs));
    }
  }

  /// 16 numbers times their scale, as 16 bits each.
  static __m256i rounded(Float16, __m512 numbers) { return _mm512_cvtps_ph(numbers, _MM_FROUND_TO_NEAREST_INT); }
  static __m256i rounded(Bfloat16, __m512 numbers) {
    // By hand: the processor's own conversion takes subnormal numbers for zero.
    const __m512i bits = _mm512_castps_si512(numbers);
    const __m512i last = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i up = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), last);
    return _mm512_cvtepi32_epi16(_mm512_srli_epi32(up, 16));
  }

  static void scale(Float32, const float* code, float scale, float* table) {
    _mm512_storeu_ps(table, _mm512_mul_ps(_mm512_loadu_ps(code), _mm512_set1_ps(scale)));
  }
  template <typename To>
  static void scale(To, const float* code, float scale, uint16_t* table) {
    const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(code), _mm512_set1_ps(scale));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(table), rounded(To(), scaled));
  }

  /// The 32 codes of 16 bytes, one a byte, with other bits above the lowest four.
  static __m256i unpack(const uint8_t* packed) {
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed));
    const __m128i high = _mm_and_si128(_mm_srli_epi16(low, 4), _mm_set1_epi8(15));
    return _mm256_set_m128i(_mm_unpackhi_epi8(high, low), _mm_unpacklo_epi8(high, low));
  }

  static int64_t lookup(Float32, const uint8_t* packed, int64_t n, const float* code, float scale, float* out) {
    const __m512 numbers = _mm512_mul_ps(_mm512_loadu_ps(code), _mm512_set1_ps(scale));
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
      const __m256i codes = unpack(packed + i / 2);
      const __m512i first = _mm512_cvtepu8_epi32(_mm256_castsi256_si128(codes));
      const __m512i second = _mm512_cvtepu8_epi32(_mm256_extracti128_si256(codes, 1));
      _mm512_storeu_ps(out + i, _mm512_permutexvar_ps(first, numbers));
      _mm512_storeu_ps(out + i + 16, _mm512_permutexvar_ps(second, numbers));
    }
    return i;
  }

  template <typename To>
  static int64_t lookup(To, const uint8_t* packed, int64_t n, const float* code, float scale, uint16_t* out) {
    // Twice the table: the fifth bit of a place is not of the code.
    const __m512 scaled = _mm512_mul_ps(_mm512_loadu_ps(code), _mm512_set1_ps(scale));
    const __m512i numbers = _mm512_broadcast_i64x4(rounded(To(), scaled));
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
      const __m512i codes = _mm512_cvtepu8_epi16(unpack(packed + i / 2));
      _mm512_storeu_si512(out + i, _mm512_permutexvar_epi16(codes, numbers));
    }
    return i;
  }

  static int64_t scale_codes(const uint8_t* q, int64_t n, const float* code, float scale, float offset, float* out) {
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m512i place = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(q + i)));
      const __m512 scaled = _mm512_mul_ps(_mm512_i32gather_ps(place, code, 4), _mm512_set1_ps(scale));
      _mm512_storeu_ps(out + i, _mm512_add_ps(scaled, _mm512_set1_ps(offset)));
    }
    return i;
  }

  static int64_t search8(const float* x, int64_t n, float factor, const float* threshold, uint8_t* q) {
    float every16th[16];
    for (int i = 0; i < 16; ++i) every16th[i] = threshold[16 * i + 15];
    const __m512 coarse = _mm512_loadu_ps(every16th);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
      const __m512 v = _mm512_mul_ps(_mm512_loadu_ps(x + i), _mm512_set1_ps(factor));
      __m512i place = _mm512_slli_epi32(places(v, coarse), 4);
      for (int step = 8; step > 0; step /= 2) {
        const __m512 t = _mm512_i32gather_ps(place, threshold + step - 1, 4);
        const __mmask16 above = _mm512_cmp_ps_mask(v, t, _CMP_GT_OQ);
        place = _mm512_mask_add_epi32(place, above, place, _mm512_set1_epi32(step));
      }
      _mm_storeu_si128(reinterpret_cast<__m128i*>(q + i), _mm512_cvtepi32_epi8(place));
    }
    return i;
  }
};

/// The scales of the 16 eights of numbers of a group, by eight.
inline __m512i eights(int log2_block) {
  const __m512i eight = _mm512_setr_epi32(0, 8, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96, 104, 112, 120);
  return log2_block >= 7 ? _mm512_setzero_si512() : _mm512_srl_epi32(eight, _mm_cvtsi32_si128(log2_block));
}

/// y[j, row] for the kWeights rows j of codes from `packed` on and kRows rows of x: each number of x is read once for all
/// of them.
template <int kRows, int kWeights>
void dot(const uint8_t* packed, const float* absmax, int64_t n, int log2_block, __m512 numbers, __m512i scale_of,
         const float* x, float* y) {
  __m512 total[kWeights][kRows];
  for (auto& row : total) {
    for (auto& sum : row) sum = _mm512_setzero_ps();
  }
  for (int64_t i = 0; i < n; i += kGroup) {
    __m512i words[kWeights];
    __m512 sum[kWeights][kRows];
    for (int j = 0; j < kWeights; ++j) words[j] = _mm512_loadu_si512(packed + (j * n + i) / 2);
    for (int nibble = 0; nibble < 8; ++nibble) {
      __m512 factor[kRows];
      for (int row = 0; row < kRows; ++row) factor[row] = _mm512_loadu_ps(x + row * n + i + 16 * nibble);
      for (int j = 0; j < kWeights; ++j) {
        const __m512 w = _mm512_permutexvar_ps(words[j], numbers);  // which looks at the lowest four bits alone
        words[j] = _mm512_srli_epi32(words[j], 4);
        for (int row = 0; row < kRows; ++row) {
          sum[j][row] = nibble == 0 ? _mm512_mul_ps(w, factor[row]) : _mm512_fmadd_ps(w, factor[row], sum[j][row]);
        }
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
             const float* x, float* y) {
  const __m512 numbers = _mm512_loadu_ps(code);
  const __m512i scale_of = eights(log2_block);
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
          const float* x, int64_t rows, float* y) {
  switch (rows) {
    case 1:
      return dot_all<1, 4>(packed, absmax, n, weights, log2_block, code, x, y);
    case 2:
      return dot_all<2, 4>(packed, absmax, n, weights, log2_block, code, x, y);
    case 3:
      return dot_all<3, 2>(packed, absmax, n, weights, log2_block, code, x, y);
    default:
      return dot_all<4, 2>(packed, absmax, n, weights, log2_block, code, x, y);
  }
}

constexpr Kernels avx512_kernels() {
  Kernels table = table_of<Avx512>("avx512");
  table.dot4_float32 = dot4;
  return table;
}

}  // namespace

extern constexpr Kernels kAvx512Kernels = avx512_kernels();

}  // namespace peftlab

#else
namespace peftlab {
extern constexpr Kernels kAvx512Kernels = table_of<Plain>("avx512");
}  // namespace peftlab
#endif
