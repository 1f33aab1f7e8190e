#include "api/padded_attention.h"

#include <peftlab/nn/to_device.h>

#include <limits>

namespace peftlab {
namespace {

/// Rows of several sequences and where they go when each has as many as the longest.
struct Padding {
  explicit Padding(const std::vector<PackedShape::Rows>& rows, torch::Device device) : sequences(rows.size()) {
    for (const auto& of : rows) longest = std::max(longest, of.count);
    bool even = true;
    for (const auto& of : rows) even = even && of.count == longest;
    if (even) return;
    std::vector<int64_t> places;
    for (int64_t s = 0; s < sequences; ++s) {
      for (int64_t i = 0; i < rows[s].count; ++i) places.push_back(s * longest + i);
    }
    scatter = to_device(torch::tensor(places, torch::kInt64), device);
  }

  /// [rows, heads, width] -> [sequences, heads, longest, width]
  torch::Tensor padded(const torch::Tensor& rows) const {
    const int64_t heads = rows.size(1), width = rows.size(2);
    const auto wide =
        scatter.defined() ? rows.new_zeros({sequences * longest, heads, width}).index_copy(0, scatter, rows) : rows;
    return wide.view({sequences, longest, heads, width}).transpose(1, 2);
  }

  /// [sequences, heads, longest, width] -> [rows, heads * width]
  torch::Tensor packed(const torch::Tensor& padded) const {
    const auto rows = padded.transpose(1, 2).reshape({-1, padded.size(1) * padded.size(3)});
    return scatter.defined() ? rows.index_select(0, scatter) : rows;
  }

  int64_t sequences, longest = 0;
  torch::Tensor scatter;  ///< int64 [rows]; undefined where all have one length
};

/// 0 where a query may look and -inf where not: [sequences, 1, queries, columns]. Queries that are padding see the first
/// column, so that none is blind (a row of -inf alone would be NaN).
const torch::Tensor& mask(const AttentionPlan::Places& places, const AttentionSite& site, torch::ScalarType dtype,
                          int64_t window, int64_t longest) {
  const int64_t prefix = site.prefix_tokens();
  torch::Tensor& cached = places.masks[{prefix, site.first_position(), window, dtype}];
  if (cached.defined()) return cached;

  const int64_t n = places.sequences(), columns = prefix + places.columns();
  const auto sights = places.sights(site, window);
  auto visible = torch::zeros({n, 1, longest, columns}, torch::kBool);
  bool* cell = visible.data_ptr<bool>();
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t i = 0; i < longest; ++i, cell += columns) {
      const Sight sight = i < places.of_sequence[s].count ? sights[places.of_sequence[s].first + i] : Sight{0, 0, 1};
      std::fill_n(cell, sight.front, true);
      std::fill_n(cell + sight.from, sight.to - sight.from, true);
    }
  }
  const auto made = torch::zeros({n, 1, longest, columns}, torch::TensorOptions(dtype))
                        .masked_fill_(~visible, -std::numeric_limits<double>::infinity());
  cached = to_device(made, places.device);
  return cached;
}

}  // namespace

torch::Tensor padded_attention(const AttentionPlan::Places& places, const torch::Tensor& q, const torch::Tensor& k,
                               const torch::Tensor& v, const AttentionSite& site, const KeyValue& prefix,
                               const AttendOptions& options) {
  const Padding queries(places.of_sequence, places.device);
  if (queries.longest == 0) return q.reshape({0, q.size(1) * q.size(2)});
  auto keys = k, values = v;
  if (!places.decoding) {
    std::vector<PackedShape::Rows> own;
    for (int64_t s = 0; s < places.sequences(); ++s) {
      own.push_back({places.layout.offsets[s], places.layout.length(s)});
    }
    const Padding padding(own, places.device);
    keys = padding.padded(k);
    values = padding.padded(v);
    if (prefix.keys.defined()) {
      const auto before = [&](const torch::Tensor& extra, const torch::Tensor& own) {
        return torch::cat({extra.transpose(0, 1).unsqueeze(0).expand({own.size(0), -1, -1, -1}), own}, 2);
      };
      keys = before(prefix.keys, keys);
      values = before(prefix.values, values);
    }
  }
  // Grouped-query attention: each key/value head serves several query heads in a row.
  const int64_t groups = q.size(1) / keys.size(1);
  if (groups > 1) {
    keys = keys.repeat_interleave(groups, 1);
    values = values.repeat_interleave(groups, 1);
  }
  return queries.packed(torch::scaled_dot_product_attention(
      queries.padded(q), keys, values, mask(places, site, q.scalar_type(), options.window, queries.longest),
      options.dropout, /*is_causal=*/false, options.scale));
}

}  // namespace peftlab
