#pragma once

/// \file
/// Attention on a GPU over sequences that lie one behind the other, by the operation of LibTorch's that needs neither
/// padding nor a mask.

#include "api/attention_places.h"

#include <functional>

namespace peftlab {

/// The operation: q, k, v [rows, heads, width] -> [rows, heads, width], with gradients. Here it is LibTorch's
/// _efficient_attention_forward (Rabe and Staats, arXiv:2112.05682), which is there for GPUs alone; tests have another.
using SequenceAttention =
    std::function<torch::Tensor(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                const SequenceStarts& starts, const AttendOptions& options)>;

/// Whether the operation can: float32 or 16 bits on a GPU, heads whose width is a multiple of 8.
bool can_attend_on_gpu(const torch::Tensor& q);

/// softmax(scale q k^T) v: q [rows, heads, width], k and v [rows, kv heads, width] and what stands in front of every
/// sequence -> [rows, heads * width].
PEFTLAB_API torch::Tensor gpu_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                        const KeyValue& prefix, const SequenceStarts& starts,
                                        const AttendOptions& options, const SequenceAttention& attention = {});

}  // namespace peftlab
