#pragma once

/// \file
/// Attention by LibTorch's own operation, which wants sequences of one length and a mask: for GPUs, and for types that
/// packed_attention() does not know.

#include "api/attention_places.h"

namespace peftlab {

/// q [queries, heads, width], keys and values [total, kv heads, width] with an optional prefix, or (decoding) [sequences,
/// kv heads, columns, width] -> [queries, heads * width].
PEFTLAB_API torch::Tensor padded_attention(const AttentionPlan::Places& places, const torch::Tensor& q,
                                           const torch::Tensor& k, const torch::Tensor& v, const AttentionSite& site,
                                           const KeyValue& prefix, const AttendOptions& options);

}  // namespace peftlab
