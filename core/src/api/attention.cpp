#include "api/attention_places.h"
#include "api/gpu_attention.h"
#include "api/padded_attention.h"

#include <peftlab/error.h>
#include <peftlab/nn/attention.h>

#include <ATen/autocast_mode.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace peftlab {
namespace {

/// Under autocast LibTorch's attention computes in the type of that; elsewhere the types are what they are.
torch::ScalarType computed_type(const torch::Tensor& q) {
  const auto device = q.device().type();
  const bool cast = at::autocast::is_autocast_enabled(device) && q.scalar_type() != torch::kDouble;
  return cast ? at::autocast::get_autocast_dtype(device) : q.scalar_type();
}

void check_prefix(const torch::Tensor& t, const AttentionSite& site) {
  TORCH_CHECK(
      t.dim() == 3 && t.size(0) == site.prefix_tokens() && t.size(1) == site.kv_heads && t.size(2) == site.head_width,
      "prefix of ", site.name, " is ", t.sizes(), ", wanted [", site.prefix_tokens(), ", ", site.kv_heads, ", ",
      site.head_width, "]");
}

/// cache [sequences, heads, capacity, width]: rows [n, heads, width] into its columns from `first` on. On a CPU.
void copy_rows(const torch::Tensor& cache, int64_t sequence, int64_t first, const torch::Tensor& rows) {
  const int64_t heads = rows.size(1), bytes = rows.size(2) * rows.element_size();
  for (int64_t head = 0; head < heads; ++head) {
    auto* to = static_cast<char*>(cache.data_ptr()) +
               (sequence * cache.stride(0) + head * cache.stride(1) + first * cache.stride(2)) * cache.element_size();
    const auto* from = static_cast<const char*>(rows.const_data_ptr()) + head * rows.stride(1) * rows.element_size();
    for (int64_t i = 0; i < rows.size(0); ++i, to += bytes, from += rows.stride(0) * rows.element_size()) {
      std::memcpy(to, from, bytes);
    }
  }
}

/// Puts rows [total, heads, width] of the pass behind what the cache [sequences, heads, capacity, width] holds.
void append(const torch::Tensor& cache, const torch::Tensor& given, const AttentionPlan::Places& places,
            int64_t prefix) {
  const auto rows = given.detach().to(cache.scalar_type());
  for (int64_t s = 0; s < places.sequences(); ++s) {
    const int64_t length = places.layout.length(s), first = prefix + places.columns(s) - length;
    const auto own = rows.narrow(0, places.layout.offsets[s], length);
    if (cache.device().is_cpu() && own.stride(2) == 1) {
      copy_rows(cache, s, first, own);
    } else {
      cache[s].narrow(1, first, length).copy_(own.transpose(0, 1));
    }
  }
}

/// What the first pass leaves for those that follow.
torch::Tensor kept(const torch::Tensor& rows, const torch::Tensor& prefix, const AttentionPlan::Places& places) {
  const int64_t front = prefix.defined() ? prefix.size(0) : 0;
  const auto cache = torch::zeros(
      {places.sequences(), rows.size(1), front + places.columns() + places.room, rows.size(2)}, rows.options());
  if (front > 0) cache.narrow(2, 0, front).copy_(prefix.detach().transpose(0, 1).unsqueeze(0));
  append(cache, rows, places, front);
  return cache;
}

}  // namespace

void AttentionSite::prepend(Source source, int64_t tokens, bool take_positions) {
  sources_.push_back(std::move(source));
  tokens_ += tokens;
  if (take_positions) first_position_ += tokens;
}

KeyValue AttentionSite::prefix() const {
  if (sources_.empty()) return {};
  if (sources_.size() == 1) return sources_.front()();
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
    : places_(std::make_shared<const Places>(std::move(layout), device, cache)) {}

AttentionPlan::AttentionPlan(std::shared_ptr<const Places> places) : places_(std::move(places)) {}

AttentionPlan AttentionPlan::of_rows(const torch::Tensor& rows) const {
  return rows.defined() ? AttentionPlan(std::make_shared<const Places>(*places_, rows)) : *this;
}

const Layout& AttentionPlan::layout() const { return places_->layout; }

torch::Tensor AttentionPlan::asked(const torch::Tensor& x) const {
  return places_->asked.defined() ? x.index_select(0, places_->asked) : x;
}

torch::Tensor AttentionPlan::positions() const {
  std::vector<int64_t> positions;
  positions.reserve(layout().total());
  for (int64_t s = 0; s < layout().sequences(); ++s) {
    const int64_t end = places_->columns(s);
    for (int64_t i = end - layout().length(s); i < end; ++i) positions.push_back(i);
  }
  return torch::tensor(positions, torch::kInt64);
}

torch::Tensor AttentionPlan::attend(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                                    const AttentionSite& site, KeyValueCache::Layer* cache,
                                    const AttendOptions& options) const {
  const Places& places = *places_;
  TORCH_CHECK(q.size(0) == places.queries() && k.size(0) == layout().total(), "attention is given ", q.size(0),
              " rows of queries and ", k.size(0), " of keys, wanted ", places.queries(), " and ", layout().total());
  const auto type = computed_type(q);
  const auto queries = q.to(type);
  PackedShape shape{.queries = places.of_sequence,
                    .keys = {},
                    .sights = {},
                    .scale = options.scale.value_or(1.0 / std::sqrt(static_cast<double>(q.size(2)))),
                    .dropout = options.dropout};
  const int64_t prefix = site.prefix_tokens();
  if (places.decoding) {
    // The prefix stands in the cache's first columns.
    TORCH_CHECK(prefix + places.columns() <= cache->keys.size(2), "the cache has room for ", cache->keys.size(2),
                " columns, wanted ", prefix + places.columns());
    append(cache->keys, k, places, prefix);
    append(cache->values, v, places, prefix);
    if (can_be_packed(queries) && cache->keys.scalar_type() == type) {
      for (int64_t s = 0; s < places.sequences(); ++s) shape.keys.push_back({0, prefix + places.columns(s)});
      shape.sights = places.sights(site, options.window);
      return cached_attention(queries, cache->keys, cache->values, shape);
    }
    const auto used = [&](const torch::Tensor& t) { return t.narrow(2, 0, prefix + places.columns()).to(type); };
    return padded_attention(places, queries, used(cache->keys), used(cache->values), site, {}, options);
  }

  KeyValue extra;
  if (prefix > 0) {
    extra = site.prefix();
    check_prefix(extra.keys, site);
    check_prefix(extra.values, site);
    extra = {extra.keys.to(type), extra.values.to(type)};
  }
  const auto keys = k.to(type), values = v.to(type);
  if (cache) *cache = {kept(keys, extra.keys, places), kept(values, extra.values, places)};
  if (can_attend_on_gpu(queries)) {
    if (const auto& starts = places.starts(prefix, options.window)) {
      return gpu_attention(queries, keys, values, extra, *starts, options);
    }
  }
  if (!can_be_packed(queries)) return padded_attention(places, queries, keys, values, site, extra, options);
  for (int64_t s = 0; s < places.sequences(); ++s) shape.keys.push_back({layout().offsets[s], layout().length(s)});
  shape.sights = places.sights(site, options.window);
  return packed_attention(queries, keys, values, extra.keys, extra.values, shape);
}

torch::Tensor attend_all(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v, int64_t heads,
                         const AttentionSite* site, double dropout) {
  const int64_t n = q.size(0), rows = q.size(1), columns = k.size(1), width = q.size(2) / heads;
  const auto type = computed_type(q);
  KeyValue extra;
  if (site && site->prefix_tokens() > 0) {
    extra = site->prefix();
    check_prefix(extra.keys, *site);
    check_prefix(extra.values, *site);
    extra = {extra.keys.to(type), extra.values.to(type)};
  }
  const auto split = [&](const torch::Tensor& t) { return t.to(type).reshape({-1, heads, width}); };
  const auto queries = split(q);
  if (can_be_packed(queries)) {
    PackedShape shape{.queries = {},
                      .keys = {},
                      .sights = {},
                      .scale = 1.0 / std::sqrt(static_cast<double>(width)),
                      .dropout = dropout};
    const int64_t prefix = extra.keys.defined() ? extra.keys.size(0) : 0;
    for (int64_t s = 0; s < n; ++s) {
      shape.queries.push_back({s * rows, rows});
      shape.keys.push_back({s * columns, columns});
    }
    shape.sights.assign(n * rows, {0, 0, static_cast<int32_t>(prefix + columns)});
    return packed_attention(queries, split(k), split(v), extra.keys, extra.values, shape).view({n, rows, -1});
  }
  const auto padded = [&](const torch::Tensor& t, const torch::Tensor& front) {
    auto own = t.to(type).reshape({n, -1, heads, width}).transpose(1, 2);
    if (!front.defined()) return own;
    return torch::cat({front.transpose(0, 1).unsqueeze(0).expand({n, -1, -1, -1}), own}, 2);
  };
  const auto attended =
      torch::scaled_dot_product_attention(padded(q, {}), padded(k, extra.keys), padded(v, extra.values), {}, dropout);
  return attended.transpose(1, 2).reshape({n, rows, heads * width});
}

}  // namespace peftlab
