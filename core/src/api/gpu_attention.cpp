#include "api/gpu_attention.h"

#include <ATen/ops/_efficient_attention_forward.h>
#include <torch/torch.h>

namespace peftlab {
namespace {

constexpr int64_t kSeesAll = 0, kSeesBeforeFromTheEnd = 2;  // of LibTorch's custom_mask_type
constexpr int64_t kWidths = 8;                              // its kernels read so many numbers of a head at once

torch::Tensor efficient_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                  const SequenceStarts& starts, const AttendOptions& options) {
  const auto found = at::_efficient_attention_forward(
      q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), /*bias=*/{}, starts.queries, starts.keys, starts.most_queries,
      starts.most_keys, options.dropout, starts.is_causal ? kSeesBeforeFromTheEnd : kSeesAll,
      /*compute_log_sumexp=*/true, options.scale);
  return std::get<0>(found).squeeze(0);
}

}  // namespace

bool can_attend_on_gpu(const torch::Tensor& q) {
  return q.device().is_cuda() && q.scalar_type() != torch::kDouble && q.size(-1) % kWidths == 0 && q.size(0) > 0;
}

torch::Tensor gpu_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                            const KeyValue& prefix, const SequenceStarts& starts, const AttendOptions& options,
                            const SequenceAttention& attention) {
  const int64_t group = q.size(1) / k.size(1);
  const auto seen = [&](const torch::Tensor& own, const torch::Tensor& front) {
    auto rows = starts.key_rows.defined() ? torch::cat({front, own}).index_select(0, starts.key_rows) : own;
    // Grouped-query attention: each key/value head serves several query heads in a row.
    return group > 1 ? rows.repeat_interleave(group, 1) : rows;
  };
  const auto keys = seen(k, prefix.keys), values = seen(v, prefix.values);
  const auto out =
      attention ? attention(q, keys, values, starts, options) : efficient_attention(q, keys, values, starts, options);
  return out.flatten(1);
}

}  // namespace peftlab
