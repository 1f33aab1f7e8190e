// The path of processors with AVX2 and F16C. Compiled with those instructions: reached through kernels() alone.
#include <quantize/kernels_loops.h>

#ifdef __AVX2__
#include <immintrin.h>

namespace peftlab {
namespace {

struct Avx2 : Plain {
  /// The thresholds that each of the four steps of a binary search may meet, by what is known before it.
  struct Search {
    explicit Search(const FourBitSearch& search)
        : third(_mm256_setr_ps(search.threshold[1], search.threshold[5], search.threshold[9], search.threshold[13], 0,
                               0, 0, 0)),
          fourth(_mm256_setr_ps(search.threshold[0], search.threshold[2], search.threshold[4], search.threshold[6],
                                search.threshold[8], search.threshold[10], search.threshold[12], search.threshold[14])),
          first(_mm256_set1_ps(search.threshold[7])),
          second(_mm256_setr_ps(search.threshold[3], search.threshold[11], 0, 0, 0, 0, 0, 0)),
          order(_mm_loadu_si128(reinterpret_cast<const __m128i*>(search.order))) {}
    __m256 third, fourth, first, second;
    __m128i order;
  };

  static float largest(const float* x, int64_t n) {
    const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
    __m256i largest = _mm256_setzero_si256();
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
      const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + i));
      largest = _mm256_max_epu32(largest, _mm256_and_si256(bits, magnitude));
    }
    float lanes[8];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(lanes), largest);
    // All are without sign, so their own largest bit pattern is the largest magnitude.
    const float in_lanes = largest_magnitude(lanes, 8);
    const float in_rest = largest_magnitude(x + i, n - i);
    return bits_of(in_lanes) > bits_of(in_rest) ? in_lanes : in_rest;
  }

  /// The codes' places in ascending order, a number a lane.
  static __m256i places(__m256 v, const Search& search) {
    const auto taken = [](__m256i places, __m256 v, __m256 threshold) {
      // A comparison that holds is -1: twice the place, and one more.
      const __m256i above = _mm256_castps_si256(_mm256_cmp_ps(v, threshold, _CMP_GT_OQ));
      return _mm256_sub_epi32(_mm256_add_epi32(places, places), above);
    };
    __m256i place = taken(_mm256_setzero_si256(), v, search.first);
    place = taken(place, v, _mm256_permutevar8x32_ps(search.second, place));
    place = taken(place, v, _mm256_permutevar8x32_ps(search.third, place));
    return taken(place, v, _mm256_permutevar8x32_ps(search.fourth, place));
  }

  static void encode_block(const float* x, int64_t n, float factor, const Search& search, uint8_t* packed) {
    const __m256 scale = _mm256_set1_ps(factor), one = _mm256_set1_ps(1.0f), minus_one = _mm256_set1_ps(-1.0f);
    for (int64_t i = 0; i < n; i += 16) {
      const auto eight = [&](int64_t at) {
        const __m256 v = _mm256_mul_ps(_mm256_loadu_ps(x + at), scale);
        return places(_mm256_min_ps(_mm256_max_ps(v, minus_one), one), search);
      };
      // 16 numbers to 16 bytes; packing works in halves of a register, which the permutation undoes.
      const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(eight(i), eight(i + 8)), 0xD8);
      const __m128i bytes = _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
      const __m128i codes = _mm_shuffle_epi8(search.order, bytes);
      const __m128i pairs = _mm_maddubs_epi16(codes, _mm_set1_epi16(0x0110));  // the first of each two times 16
      _mm_storel_epi64(reinterpret_cast<__m128i*>(packed + i / 2), _mm_packus_epi16(pairs, pairs));
    }
  }

  using Plain::scale;
  static void scale(Float16, const float* code, float scale, uint16_t* table) {
    for (int i = 0; i < 16; i += 8) {
      const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(code + i), _mm256_set1_ps(scale));
      _mm_storeu_si128(reinterpret_cast<__m128i*>(table + i), _mm256_cvtps_ph(scaled, _MM_FROUND_TO_NEAREST_INT));
    }
  }

  /// The 32 codes of 16 bytes, one a byte.
  static void unpack(const uint8_t* packed, __m128i* first, __m128i* second) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(packed)), mask = _mm_set1_epi8(15);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), mask), low = _mm_and_si128(bytes, mask);
    *first = _mm_unpacklo_epi8(high, low);
    *second = _mm_unpackhi_epi8(high, low);
  }

  static int64_t lookup(Float32, const uint8_t* packed, int64_t n, const float* code, float scale, float* out) {
    const __m256 factor = _mm256_set1_ps(scale);
    const __m256 lower = _mm256_mul_ps(_mm256_loadu_ps(code), factor);
    const __m256 upper = _mm256_mul_ps(_mm256_loadu_ps(code + 8), factor);
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
      __m128i codes[2];
      unpack(packed + i / 2, codes, codes + 1);
      for (int half = 0; half < 4; ++half) {
        const __m128i eight = half % 2 == 0 ? codes[half / 2] : _mm_srli_si128(codes[half / 2], 8);
        const __m256i place = _mm256_cvtepu8_epi32(eight);
        const __m256 in_upper = _mm256_castsi256_ps(_mm256_slli_epi32(place, 28));  // bit 3 where a sign is
        _mm256_storeu_ps(out + i + 8 * half, _mm256_blendv_ps(_mm256_permutevar8x32_ps(lower, place),
                                                              _mm256_permutevar8x32_ps(upper, place), in_upper));
      }
    }
    return i;
  }

  template <typename To>
  static int64_t lookup(To, const uint8_t* packed, int64_t n, const float* code, float factor, uint16_t* out) {
    uint16_t table[16];
    scale(To(), code, factor, table);
    uint8_t bytes[2][16];
    for (int i = 0; i < 16; ++i) {
      bytes[0][i] = static_cast<uint8_t>(table[i]);
      bytes[1][i] = static_cast<uint8_t>(table[i] >> 8);
    }
    const __m128i lower = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes[0]));
    const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes[1]));
    int64_t i = 0;
    for (; i + 32 <= n; i += 32) {
      __m128i codes[2];
      unpack(packed + i / 2, codes, codes + 1);
      for (int half = 0; half < 2; ++half) {
        const __m128i low = _mm_shuffle_epi8(lower, codes[half]), high = _mm_shuffle_epi8(upper, codes[half]);
        auto* to = reinterpret_cast<__m128i*>(out + i + 16 * half);
        _mm_storeu_si128(to, _mm_unpacklo_epi8(low, high));
        _mm_storeu_si128(to + 1, _mm_unpackhi_epi8(low, high));
      }
    }
    return i;
  }
};

}  // namespace

extern constexpr Kernels kAvx2Kernels = table_of<Avx2>("avx2");

}  // namespace peftlab

#else
namespace peftlab {
extern constexpr Kernels kAvx2Kernels = table_of<Plain>("avx2");
}  // namespace peftlab
#endif
