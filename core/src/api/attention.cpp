#include <peftlab/error.h>
#include <peftlab/nn/attention.h>

#include <algorithm>
#include <limits>

namespace peftlab {

void AttentionSite::prepend(Source source, int64_t tokens, bool take_positions) {
  sources_.push_back(std::move(source));
  tokens_ += tokens;
  if (take_positions) first_position_ += tokens;
}

KeyValue AttentionSite::prefix() const {
  if (sources_.empty()) return {};
  std::vector<torch::Tensor> keys, values;
  for (auto source = sources_.rbegin(); source != sources_.rend(); ++source) {
    KeyValue kv = (*source)();
    keys.push_back(kv.keys);
    values.push_back(kv.values);
  }
  return {torch::cat(keys), torch::cat(values)};
}

void KeyValueCache::select(const torch::Tensor& rows) {
  const auto wanted = rows.to(torch::kCPU, torch::kInt64).contiguous();
  for (Layer& layer : layers) {
    const auto index = wanted.to(layer.keys.device());
    layer.keys = layer.keys.index_select(0, index);
    layer.values = layer.values.index_select(0, index);
  }
  std::vector<int64_t> new_seen, new_context;
  for (int64_t i = 0; i < wanted.numel(); ++i) {
    const int64_t row = wanted.data_ptr<int64_t>()[i];
    new_seen.push_back(seen.at(row));
    new_context.push_back(context.at(row));
  }
  seen = std::move(new_seen);
  context = std::move(new_context);
}

void KeyValueCache::advance(const Layout& layout) {
  if (empty()) context = layout.context;
  seen.resize(layout.sequences(), 0);
  for (int64_t s = 0; s < layout.sequences(); ++s) seen[s] += layout.length(s);
}

AttentionPlan::AttentionPlan(Layout layout, torch::Device device, const KeyValueCache* cache)
    : layout_(std::move(layout)), device_(device), longest_(layout_.max_length()) {
  even_ = true;
  for (int64_t s = 0; s < layout_.sequences(); ++s) even_ = even_ && layout_.length(s) == longest_;
  if (cache) {
    room_ = cache->room;
    decoding_ = !cache->empty();
    seen_ = cache->seen;
  }
  if (decoding_) {
    if (static_cast<int64_t>(seen_.size()) != layout_.sequences()) {
      throw Error("the cache holds " + std::to_string(seen_.size()) + " sequences, the batch has " +
                  std::to_string(layout_.sequences()));
    }
    std::vector<int64_t> sequence, column;
    for (int64_t s = 0; s < layout_.sequences(); ++s) {
      for (int64_t i = 0; i < layout_.length(s); ++i) {
        sequence.push_back(s);
        column.push_back(seen_[s] + i);
      }
      columns_ = std::max(columns_, seen_[s] + layout_.length(s));
    }
    sequence_ = torch::tensor(sequence, torch::kInt64).to(device_);
    column_ = torch::tensor(column, torch::kInt64).to(device_);
  } else {
    columns_ = longest_;
  }
  if (!even_) {
    std::vector<int64_t> rows;
    rows.reserve(layout_.total());
    for (int64_t s = 0; s < layout_.sequences(); ++s) {
      for (int64_t i = 0; i < layout_.length(s); ++i) rows.push_back(s * longest_ + i);
    }
    scatter_ = torch::tensor(rows, torch::kInt64).to(device_);
  }
}

// [total, heads, width] -> [sequences, heads, longest, width]
torch::Tensor AttentionPlan::padded(const torch::Tensor& rows) const {
  const int64_t n = layout_.sequences(), heads = rows.size(1), width = rows.size(2);
  if (even_) return rows.view({n, longest_, heads, width}).transpose(1, 2);
  auto wide = rows.new_zeros({n * longest_, heads, width}).index_copy(0, scatter_, rows);
  return wide.view({n, longest_, heads, width}).transpose(1, 2);
}

// [sequences, heads, longest, width] -> [total, heads * width]
torch::Tensor AttentionPlan::packed(const torch::Tensor& padded) const {
  const int64_t heads = padded.size(1), width = padded.size(3);
  const auto rows = padded.transpose(1, 2).reshape({-1, heads * width});
  return even_ ? rows : rows.index_select(0, scatter_);
}

// 0 where a row may look and -inf where not: [sequences, 1, rows, prefix + columns]. Rows that are padding see what the
// last real row sees, so that no row is blind (a row of -inf alone would be NaN).
const torch::Tensor& AttentionPlan::mask(const AttentionSite& site, torch::ScalarType dtype, int64_t window) const {
  const int64_t prefix = site.prefix_tokens(), taken = site.first_position();
  torch::Tensor& cached = masks_[{prefix, taken, window, dtype}];
  if (cached.defined()) return cached;

  const int64_t n = layout_.sequences();
  auto visible = torch::zeros({n, 1, longest_, prefix + columns_}, torch::kBool);
  bool* cell = visible.data_ptr<bool>();
  for (int64_t s = 0; s < n; ++s) {
    for (int64_t row = 0; row < longest_; ++row) {
      const int64_t own = (decoding_ ? seen_[s] : 0) + std::min(row, layout_.length(s) - 1);
      const int64_t sees = prefix + std::max(own + 1, decoding_ ? 0 : layout_.context[s]);
      // Keys without a position, which lie in front, are seen however far a row is from them.
      const int64_t free = prefix - taken;
      const int64_t from = window > 0 ? std::max(free, prefix + own + 1 - window) : 0;
      std::fill_n(cell, std::min(free, from), true);
      std::fill_n(cell + from, sees - from, true);
      cell += prefix + columns_;
    }
  }
  cached = torch::zeros({n, 1, longest_, prefix + columns_}, torch::TensorOptions(dtype))
               .masked_fill_(~visible, -std::numeric_limits<double>::infinity())
               .to(device_);
  return cached;
}

torch::Tensor AttentionPlan::positions() const {
  std::vector<int64_t> positions;
  positions.reserve(layout_.total());
  for (int64_t s = 0; s < layout_.sequences(); ++s) {
    const int64_t first = decoding_ ? seen_[s] : 0;
    for (int64_t i = 0; i < layout_.length(s); ++i) positions.push_back(first + i);
  }
  return torch::tensor(positions, torch::kInt64);
}

torch::Tensor AttentionPlan::attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                    const AttentionSite& site, KeyValueCache::Layer* cache,
                                    const AttendOptions& options) const {
  const int64_t n = layout_.sequences(), prefix = site.prefix_tokens();
  const auto queries = padded(q);
  torch::Tensor keys, values;

  if (decoding_) {
    // The prefix stands in the cache's first columns.
    TORCH_CHECK(prefix + columns_ <= cache->keys.size(2), "the cache has room for ", cache->keys.size(2),
                " columns, wanted ", prefix + columns_);
    using torch::indexing::Slice;
    cache->keys.index_put_({sequence_, Slice(), prefix + column_}, k.to(cache->keys.scalar_type()));
    cache->values.index_put_({sequence_, Slice(), prefix + column_}, v.to(cache->values.scalar_type()));
    keys = cache->keys.slice(2, 0, prefix + columns_).to(queries.scalar_type());
    values = cache->values.slice(2, 0, prefix + columns_).to(queries.scalar_type());
  } else {
    keys = padded(k);
    values = padded(v);
    if (prefix > 0) {
      const KeyValue extra = site.prefix();
      const auto spread = [&](const torch::Tensor& t, const torch::Tensor& like) {
        TORCH_CHECK(t.size(0) == prefix && t.size(1) == like.size(1) && t.size(2) == like.size(3),
                    "prefix of ", site.name, " is ", t.sizes(), ", wanted [", prefix, ", ", like.size(1), ", ",
                    like.size(3), "]");
        return t.to(like.scalar_type()).transpose(0, 1).unsqueeze(0).expand({n, -1, -1, -1});
      };
      keys = torch::cat({spread(extra.keys, keys), keys}, 2);
      values = torch::cat({spread(extra.values, values), values}, 2);
    }
    if (cache) {
      const auto keep = [&](const torch::Tensor& t) {
        auto whole = t.new_zeros({n, t.size(1), t.size(2) + room_, t.size(3)});
        whole.slice(2, 0, t.size(2)).copy_(t);
        return whole;
      };
      cache->keys = keep(keys);
      cache->values = keep(values);
    }
  }

  // Grouped-query attention: each key/value head serves several query heads in a row.
  const int64_t groups = queries.size(1) / keys.size(1);
  if (groups > 1) {
    keys = keys.repeat_interleave(groups, 1);
    values = values.repeat_interleave(groups, 1);
  }
  const auto attended = torch::scaled_dot_product_attention(queries, keys, values,
                                                            mask(site, queries.scalar_type(), options.window),
                                                            options.dropout, /*is_causal=*/false, options.scale);
  return packed(attended);
}

torch::Tensor attend_all(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads,
                         const AttentionSite* site, double dropout) {
  const auto split = [&](const torch::Tensor& t) {
    return t.view({t.size(0), t.size(1), heads, t.size(2) / heads}).transpose(1, 2);
  };
  auto keys = split(k), values = split(v);
  if (site && site->prefix_tokens() > 0) {
    const KeyValue extra = site->prefix();
    const auto spread = [&](const torch::Tensor& t) {
      return t.to(keys.scalar_type()).transpose(0, 1).unsqueeze(0).expand({q.size(0), -1, -1, -1});
    };
    keys = torch::cat({spread(extra.keys), keys}, 2);
    values = torch::cat({spread(extra.values), values}, 2);
  }
  const auto attended = torch::scaled_dot_product_attention(split(q), keys, values, {}, dropout);
  return attended.transpose(1, 2).reshape({q.size(0), q.size(1), q.size(2)});
}

}  // namespace peftlab
