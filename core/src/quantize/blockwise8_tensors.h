#pragma once

/// \file
/// Blockwise 8-bit codes by LibTorch's operations: for tensors wherever they lie.

#include <peftlab/export.h>

#include <torch/types.h>

#include <cstdint>

namespace peftlab {

/// encode8() of the dynamic code under Nearest::kBitsandbytesCpu, to the bit: x float32 [n] -> q uint8 [n] and absmax
/// float32 [ceil(n / block)], on one device.
PEFTLAB_API void encode8_tensor(const torch::Tensor& x, int64_t block, bool is_signed, const torch::Tensor& q,
                                const torch::Tensor& absmax);

/// decode8() of the dynamic code: float32 [n].
PEFTLAB_API torch::Tensor decode8_tensor(const torch::Tensor& q, const torch::Tensor& absmax, int64_t block,
                                         bool is_signed);

}  // namespace peftlab
