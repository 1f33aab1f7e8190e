#pragma once

/// \file
/// Numbers as 8-bit codes in blocks that share a scale, as bitsandbytes keeps the scales of 4-bit weights and the
/// moments of Adam (Dettmers et al., 2022, "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861).

#include <peftlab/export.h>

#include <array>
#include <cstdint>
#include <vector>

namespace peftlab {

/// How a number finds its code.
enum class Nearest {
  kExact,            ///< the nearest code; half way between two, the one of even index: what bitsandbytes does on CUDA
  kBitsandbytesCpu,  ///< the nearest to the number rounded to 16 bits first: what bitsandbytes does on a CPU, where
                     ///< the codes 124 to 130, zero among them, are never reached
};

/// The dynamic code: 256 ascending numbers within [-1, 1], signed, or within [0, 1]. They are dense at each power of
/// ten from 1e-6 to 1, and denser the larger the power. 0 is the code 127 of the signed ones, 0 of the others; 255 is 1.
PEFTLAB_API const std::array<float, 256>& dynamic_code(bool is_signed);

/// x [n] -> q [n] and absmax [ceil(n / block)], the largest magnitude of each block: dynamic_code(is_signed)[q] times
/// absmax is near x. A block of zeros has the codes 0. The numbers of x are finite.
PEFTLAB_API void encode8(const float* x, int64_t n, int64_t block, bool is_signed, uint8_t* q, float* absmax,
                         Nearest nearest = Nearest::kExact);

/// The dynamic code's nearest to each 16-bit number, from -1 at 0 to 1 at 65535: the table of Nearest::kBitsandbytesCpu.
PEFTLAB_API const std::vector<uint8_t>& sixteen_bit_codes(bool is_signed);

/// x[i] = code[q[i]] * absmax[i / block].
PEFTLAB_API void decode8(const uint8_t* q, const float* absmax, int64_t n, int64_t block, const float* code, float* x);

}  // namespace peftlab
