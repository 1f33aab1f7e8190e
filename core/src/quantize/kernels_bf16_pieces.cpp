// The loops behind pieces.h, for processors with AVX-512 BF16. Compiled with those instructions: reached through
// kernels() alone.
#include <quantize/pieces.h>

#ifdef __AVX512BF16__
#include <immintrin.h>

#include <algorithm>

namespace peftlab {
namespace {

// A tile of sums takes 24 of 32 registers.
constexpr int kTileRows = 6, kTileVectors = 4;
constexpr int64_t kVector = 32;                       // numbers of bfloat16
constexpr int64_t kTileRun = kVector * kTileVectors;  // of two rows of W

inline __m512bh load(const uint16_t* at) { return (__m512bh)_mm512_loadu_si512(at); }

// The codes of a run of a row of W are 16 words of 16 bits, and each vector made of them holds what one place in all
// words says.
constexpr int kPlaces = 4;

inline __m256i words_at(const uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }

/// Runs of two rows of W: what is multiplied and added together is of one row. To the halves of a vector for each place.
inline void decode_along(const uint8_t* first, const uint8_t* second, float first_scale, float second_scale,
                         __m512 code, uint16_t* to) {
  const __m256i numbers[2] = {(__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(code, _mm512_set1_ps(first_scale))),
                              (__m256i)_mm512_cvtneps_pbh(_mm512_mul_ps(code, _mm512_set1_ps(second_scale)))};
  __m256i words[2] = {words_at(first), words_at(second)};
#pragma GCC unroll 4
  for (int place = 0; place < kPlaces; ++place, to += kTileRun) {
#pragma GCC unroll 2
    for (int row = 0; row < 2; ++row) {
      // Of an index 4 bits count.
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + 16 * row),
                          _mm256_permutexvar_epi16(words[row], numbers[row]));
      words[row] = _mm256_srli_epi16(words[row], 4);
    }
  }
}

/// Runs of two rows of W: what is multiplied and added together is of one column.
inline void decode_across(const uint8_t* first, const uint8_t* second, float first_scale, float second_scale,
                          __m512 code, uint16_t* to) {
  // Twice 16 numbers, the table of each row; the fifth bit of a place says of which.
  const __m512i numbers = (__m512i)_mm512_cvtne2ps_pbh(_mm512_mul_ps(code, _mm512_set1_ps(second_scale)),
                                                       _mm512_mul_ps(code, _mm512_set1_ps(first_scale)));
  const __m512i by_lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  const __m512i in_turn =
      _mm512_or_si512(_mm512_slli_epi32(_mm512_add_epi32(by_lane, _mm512_set1_epi32(16)), 16), by_lane);
  __m512i words = _mm512_permutexvar_epi16(
      in_turn, _mm512_inserti64x4(_mm512_castsi256_si512(words_at(first)), words_at(second), 1));
  constexpr int kAndOr = 0xEA;  // (a & b) | c
#pragma GCC unroll 4
  for (int place = 0; place < kPlaces; ++place) {
    const __m512i at = _mm512_ternarylogic_epi32(words, _mm512_set1_epi16(15), _mm512_set1_epi32(16 << 16), kAndOr);
    _mm512_storeu_si512(to + place * kVector, _mm512_permutexvar_epi16(at, numbers));
    words = _mm512_srli_epi16(words, 4);
  }
}

template <int kRows>
struct Height {
  static constexpr int value = kRows;
};

template <int kRows = kTileRows, typename Work>
inline void of_height(int64_t height, int64_t first, const Work& work) {
  if constexpr (kRows > 0) {
    height == kRows ? work(first, Height<kRows>()) : of_height<kRows - 1>(height, first, work);
  }
}

/// Calls work(first row, its Height) for each tile of rows. Heights differ by a row at most, so that all are quick; the
/// lowest are first, which decode as well.
template <typename Work>
inline void for_tiles(int64_t rows, const Work& work) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows, low = rows / tiles, higher = rows % tiles;
  int64_t first = 0;
  for (int64_t i = 0; i < tiles; ++i) {
    const int64_t height = low + (i >= tiles - higher);
    of_height(height, first, work);
    first += height;
  }
}

/// For each 16 numbers, a tile's rows in turn. The numbers of a run are in the order in which decode_along() makes them:
/// a byte's first number is in its high half, so that places 0 to 3 of a word hold numbers 1, 0, 3 and 2.
void arrange(const uint16_t* x, int64_t rows, int64_t in, uint16_t* to) {
  uint16_t order[2][kVector];
  for (int i = 0; i < kRun; ++i) order[i / kVector][i % kVector] = static_cast<uint16_t>(4 * (i % 16) + ((i / 16) ^ 1));
  const __m512i low = _mm512_loadu_si512(order[0]), high = _mm512_loadu_si512(order[1]);
  for_tiles(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::value;
    for (int row = 0; row < kRows; ++row) {
      const uint16_t* const from = x + (first + row) * in;
      uint16_t* const at = to + first * in + 16 * row;
      for (int64_t i = 0; i < in; i += kRun) {
        const __m512i a = _mm512_loadu_si512(from + i), b = _mm512_loadu_si512(from + i + kVector);
        const __m512i places[2] = {_mm512_permutex2var_epi16(a, low, b), _mm512_permutex2var_epi16(a, high, b)};
        for (int half = 0; half < 2; ++half) {
          uint16_t* const here = at + (i + half * kVector) * kRows;
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(here), _mm512_castsi512_si256(places[half]));
          _mm256_storeu_si256(reinterpret_cast<__m256i*>(here + 16 * kRows),
                              _mm512_extracti64x4_epi64(places[half], 1));
        }
      }
    }
  });
}

/// Asks for the code of a number and its scale, which takes no time where the memory is not the program's.
inline void prefetch(const CodesOfWeight& codes, int64_t number) {
  _mm_prefetch(codes.packed + (number >> 1), _MM_HINT_T0);
  _mm_prefetch(codes.absmax + (number >> codes.log2_block), _MM_HINT_T0);
}

/// Decodes W[row : row + kOutputsAlong, column :] into a piece, whose vector v holds rows v and v + 4. Every fourth chunk
/// begins a run.
class DecoderAlong {
 public:
  static constexpr int64_t kAhead = kTileVectors;  ///< chunks that the first step needs

  DecoderAlong(const CodesOfWeight& codes, int64_t row, int64_t column, uint16_t* piece)
      : codes_(codes), code_(_mm512_loadu_ps(codes.code)), piece_(piece) {
    for (int i = 0; i < kOutputsAlong; ++i) rows_[i] = std::min(row + i, codes.out - 1) * codes.in + column;
  }

  /// The next piece is asked for as well: it comes while this one is multiplied.
  void operator()(int64_t chunk) const {
    const int64_t v = chunk % kTileVectors, at = chunk / kTileVectors * kRun;
    const int64_t first = rows_[v] + at, second = rows_[v + kTileVectors] + at;
    prefetch(codes_, first + kOutputsAlong * codes_.in);
    prefetch(codes_, second + kOutputsAlong * codes_.in);
    decode_along(codes_.packed + (first >> 1), codes_.packed + (second >> 1), codes_.absmax[first >> codes_.log2_block],
                 codes_.absmax[second >> codes_.log2_block], code_, piece_ + kOutputsAlong * at + v * kVector);
  }

 private:
  const CodesOfWeight codes_;
  const __m512 code_;
  uint16_t* const piece_;
  int64_t rows_[kOutputsAlong];
};

/// Decodes W[row :, column : column + kRun], two rows a chunk.
class DecoderAcross {
 public:
  static constexpr int64_t kAhead = 1;

  DecoderAcross(const CodesOfWeight& codes, int64_t row, int64_t column, uint16_t* piece)
      : codes_(codes), code_(_mm512_loadu_ps(codes.code)), piece_(piece), first_(row * codes.in + column) {}

  void operator()(int64_t chunk) const {
    constexpr int64_t kColumnsAhead = 128;  // the next line of the cache
    const int64_t first = first_ + 2 * chunk * codes_.in, second = first + codes_.in;
    prefetch(codes_, first + kColumnsAhead);
    prefetch(codes_, second + kColumnsAhead);
    decode_across(codes_.packed + (first >> 1), codes_.packed + (second >> 1),
                  codes_.absmax[first >> codes_.log2_block], codes_.absmax[second >> codes_.log2_block], code_,
                  piece_ + 2 * chunk * kRun);
  }

 private:
  const CodesOfWeight codes_;
  const __m512 code_;
  uint16_t* const piece_;
  const int64_t first_;
};

/// For a piece that is decoded.
struct Decoded {
  static constexpr int64_t kAhead = 0;
  void operator()(int64_t) const {}
};

/// The sums of the halves of four vectors: of the first halves, then of the second ones.
inline __m256 sums_of_halves(const __m512* v) {
  const __m512 a = _mm512_add_ps(_mm512_unpacklo_ps(v[0], v[1]), _mm512_unpackhi_ps(v[0], v[1]));
  const __m512 b = _mm512_add_ps(_mm512_unpacklo_ps(v[2], v[3]), _mm512_unpackhi_ps(v[2], v[3]));
  const __m512d low = _mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b));
  const __m512d high = _mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b));
  const __m512 quarters = _mm512_add_ps(_mm512_castpd_ps(low), _mm512_castpd_ps(high));
  const __m512 others = _mm512_shuffle_f32x4(quarters, quarters, _MM_SHUFFLE(3, 1, 2, 0));
  return _mm256_add_ps(_mm512_castps512_ps256(others), _mm512_extractf32x8_ps(others, 1));
}

/// sum[r][v] += vector v of a step of the piece, times left(step, r). The piece is decoded a step ahead of what is
/// multiplied: the processor does both at once.
template <int kRows, typename Decoder, typename Left>
inline void add_products(const Decoder& decode, const uint16_t* piece, int64_t steps, const Left& left,
                         __m512 (&sum)[kRows][kTileVectors]) {
  for (int64_t chunk = 0; chunk < Decoder::kAhead; ++chunk) decode(chunk);
  for (int64_t step = 0; step < steps; ++step, piece += kTileRun) {
    if (step + Decoder::kAhead < steps) decode(step + Decoder::kAhead);
    __m512bh w[kTileVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) w[v] = load(piece + v * kVector);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const __m512bh x = (__m512bh)left(step, r);
#pragma GCC unroll 4
      for (int v = 0; v < kTileVectors; ++v) sum[r][v] = _mm512_dpbf16_ps(sum[r][v], w[v], x);
    }
  }
}

template <int kRows, typename Decoder>
void tile_along(const Decoder& decode, const uint16_t* piece, int64_t columns, const uint16_t* x, float* sums,
                int64_t sums_row) {
  __m512 sum[kRows][kTileVectors] = {};
  const auto left = [x](int64_t step, int r) {
    const auto* at = reinterpret_cast<const __m256i*>(x + 16 * (step * kRows + r));
    return _mm512_broadcast_i64x4(_mm256_loadu_si256(at));
  };
  add_products(decode, piece, columns / 16, left, sum);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
    float* const to = sums + r * sums_row;
    _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), sums_of_halves(sum[r])));
  }
}

void along(const CodesOfWeight& w, int64_t row, int64_t column, int64_t columns, const uint16_t* x, int64_t rows,
           float* sums, int64_t sums_row, uint16_t* piece) {
  for_tiles(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::value;
    const uint16_t* const left = x + first * w.in + column * kRows;
    float* const to = sums + first * sums_row;
    if (first == 0) {
      tile_along<kRows>(DecoderAlong(w, row, column, piece), piece, columns, left, to, sums_row);
    } else {
      tile_along<kRows>(Decoded(), piece, columns, left, to, sums_row);
    }
  });
}

template <int kRows, typename Decoder>
void tile_across(const Decoder& decode, const uint16_t* piece, int64_t depth, const uint16_t* x, int64_t x_row,
                 float* sums, int64_t sums_row) {
  __m512 sum[kRows][kTileVectors];
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) sum[r][v] = _mm512_loadu_ps(sums + r * sums_row + 16 * v);
  }
  const auto left = [x, x_row](int64_t step, int r) {
    int32_t pair;
    __builtin_memcpy(&pair, x + r * x_row + 2 * step, sizeof pair);
    return _mm512_set1_epi32(pair);
  };
  add_products(decode, piece, depth / 2, left, sum);
#pragma GCC unroll 6
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kTileVectors; ++v) _mm512_storeu_ps(sums + r * sums_row + 16 * v, sum[r][v]);
  }
}

void across(const CodesOfWeight& w, int64_t row, int64_t depth, int64_t column, const uint16_t* x, int64_t rows,
            float* sums, int64_t sums_row, uint16_t* piece) {
  for_tiles(rows, [&](int64_t first, auto tile) {
    constexpr int kRows = decltype(tile)::value;
    const uint16_t* const left = x + first * w.out + row;
    float* const to = sums + first * sums_row;
    if (first == 0) {
      tile_across<kRows>(DecoderAcross(w, row, column, piece), piece, depth, left, w.out, to, sums_row);
    } else {
      tile_across<kRows>(Decoded(), piece, depth, left, w.out, to, sums_row);
    }
  });
}

void round_along(const float* sums, int64_t n, uint16_t* y) {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 mask = n - i < 16 ? static_cast<__mmask16>((1u << (n - i)) - 1) : __mmask16(0xFFFF);
    const __m256i rounded = (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(mask, sums + i));
    _mm256_mask_storeu_epi16(y + i, mask, rounded);
  }
}

/// The opposite order of arrange()'s.
void round_across(const float* sums, int64_t n, uint16_t* y) {
  uint16_t order[2][kVector];
  for (int i = 0; i < kRun; ++i) {
    order[i / kVector][i % kVector] = static_cast<uint16_t>(16 * ((i % 4) ^ 1) + i / 4);
  }
  const __m512i low = _mm512_loadu_si512(order[0]), high = _mm512_loadu_si512(order[1]);
  for (int64_t i = 0; i < n; i += kRun) {
    const auto two = [&](int64_t at) {
      return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(sums + i + at + 16), _mm512_loadu_ps(sums + i + at));
    };
    const __m512i a = two(0), b = two(32);
    _mm512_storeu_si512(y + i, _mm512_permutex2var_epi16(a, low, b));
    _mm512_storeu_si512(y + i + kVector, _mm512_permutex2var_epi16(a, high, b));
  }
}

constexpr PieceKernels kPieces = {arrange, along, across, round_along, round_across};

}  // namespace

const PieceKernels* const kPiecesBf16 = &kPieces;

}  // namespace peftlab

#else
namespace peftlab {
const PieceKernels* const kPiecesBf16 = nullptr;
}  // namespace peftlab
#endif
