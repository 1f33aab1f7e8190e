#pragma once

/// \file
/// Weights as 4-bit codes in blocks that share a scale, as bitsandbytes keeps them: NF4, whose 16 numbers are quantiles
/// of a normal distribution (Dettmers et al., 2023, "QLoRA", arXiv:2305.14314, appendix E), and FP4, a sign, two bits of
/// exponent and one of mantissa. Every bit is that of bitsandbytes 0.50.2 on a CPU.

#include <peftlab/export.h>
#include <quantize/blockwise8.h>
#include <quantize/kernels.h>

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <string>

namespace peftlab {

struct FourBitTable {
  std::array<float, 16> code;  ///< the number of each code, in [-1, 1]
  FourBitSearch search;
};

/// Of "nf4" or "fp4".
PEFTLAB_API const FourBitTable& four_bit_table(const std::string& type);

/// A weight is taken as one row of numbers, row after row, and cut into blocks, which may cross its rows.
struct FourBitCodes {
  torch::Tensor packed;  ///< uint8 [ceil(n / 2), 1]: two codes a byte, the first in the high half
  torch::Tensor absmax;  ///< float32 [ceil(n / block)], the largest magnitude of each block
};

/// `weight`: any shape, float32, float16 or bfloat16, on the CPU. An odd count is filled up with the code of 0.
/// Throws: UnsupportedError where a weight is not finite.
PEFTLAB_API FourBitCodes encode_four_bit(const torch::Tensor& weight, const FourBitTable& table, int64_t block);

/// Double quantization: scales less their mean as 8-bit codes of the signed dynamic code, 256 to a scale.
struct ScaleCodes {
  torch::Tensor q;       ///< uint8 [scales]
  torch::Tensor absmax;  ///< float32 [ceil(scales / 256)]
  float offset = 0;      ///< the mean
  torch::Tensor code;    ///< float32 [256]: the signed dynamic code, but for last bits that a file may have otherwise
};

PEFTLAB_API ScaleCodes encode_scales(const torch::Tensor& absmax, Nearest nearest = Nearest::kExact);

}  // namespace peftlab
