#include "api/attention_places.h"

#include <peftlab/error.h>
#include <peftlab/nn/to_device.h>

#include <algorithm>

namespace peftlab {

AttentionPlan::Places::Places(Layout given, torch::Device device, const KeyValueCache* cache)
    : layout(std::move(given)), device(device) {
  if (cache) {
    room = cache->room;
    decoding = !cache->empty();
    seen = cache->seen;
  }
  if (decoding && static_cast<int64_t>(seen.size()) != sequences()) {
    throw Error("the cache holds " + std::to_string(seen.size()) + " sequences, the batch has " +
                std::to_string(sequences()));
  }
  place.reserve(layout.total());
  for (int64_t s = 0; s < sequences(); ++s) {
    of_sequence.push_back({layout.offsets[s], layout.length(s)});
    const int64_t first = decoding ? seen[s] : 0;
    for (int64_t i = 0; i < layout.length(s); ++i) place.push_back(first + i);
  }
}

AttentionPlan::Places::Places(const Places& all, const torch::Tensor& rows)
    : layout(all.layout),
      device(all.device),
      room(all.room),
      decoding(all.decoding),
      seen(all.seen),
      asked(to_device(rows, device)) {
  const auto wanted = rows.to(torch::kCPU, torch::kInt64).contiguous();
  const int64_t *next = wanted.const_data_ptr<int64_t>(), *const end = next + wanted.numel();
  for (int64_t s = 0; s < sequences(); ++s) {
    const int64_t first = queries();
    for (; next != end && *next < layout.offsets[s + 1]; ++next) {
      TORCH_CHECK(*next >= layout.offsets[s], "rows that are asked for are not ascending");
      place.push_back(all.place.at(*next));
    }
    of_sequence.push_back({first, queries() - first});
  }
  TORCH_CHECK(next == end, "row ", next == end ? 0 : *next, " is asked for, there are ", layout.total());
}

int64_t AttentionPlan::Places::columns() const {
  int64_t most = 0;
  for (int64_t s = 0; s < sequences(); ++s) most = std::max(most, columns(s));
  return most;
}

std::vector<Sight> AttentionPlan::Places::sights(const AttentionSite& site, int64_t window) const {
  const int64_t prefix = site.prefix_tokens(), free = prefix - site.first_position();
  std::vector<Sight> found;
  found.reserve(place.size());
  for (int64_t s = 0; s < sequences(); ++s) {
    const int64_t context = decoding ? 0 : layout.context[s];
    for (int64_t i = of_sequence[s].first; i < of_sequence[s].first + of_sequence[s].count; ++i) {
      const int64_t to = prefix + std::max(place[i] + 1, context);
      // Keys without a position, which lie in front, are seen however far a row is from them.
      const int64_t from = window > 0 ? std::max(free, prefix + place[i] + 1 - window) : 0;
      found.push_back(
          {static_cast<int32_t>(std::min(free, from)), static_cast<int32_t>(from), static_cast<int32_t>(to)});
    }
  }
  return found;
}

const std::optional<SequenceStarts>& AttentionPlan::Places::starts(int64_t prefix, int64_t window) const {
  const auto [place, is_new] = all_starts.try_emplace({prefix, window});
  auto& found = place->second;
  if (!is_new || decoding || asked.defined() || window > 0) return found;

  SequenceStarts made;
  std::vector<int32_t> first_query = {0}, first_key = {0};
  std::vector<int64_t> key_rows;
  bool all_visible = true, all_causal = true;
  for (int64_t s = 0; s < sequences(); ++s) {
    const int64_t length = layout.length(s);
    all_visible = all_visible && layout.context[s] >= length;
    all_causal = all_causal && layout.context[s] <= 1;
    first_query.push_back(first_query.back() + static_cast<int32_t>(length));
    first_key.push_back(first_key.back() + static_cast<int32_t>(prefix + length));
    made.most_queries = std::max(made.most_queries, length);
    made.most_keys = std::max(made.most_keys, prefix + length);
    for (int64_t i = 0; i < prefix; ++i) key_rows.push_back(i);
    for (int64_t i = 0; i < length; ++i) key_rows.push_back(prefix + layout.offsets[s] + i);
  }
  if (!all_visible && !all_causal) return found;
  made.is_causal = !all_visible;
  made.queries = to_device(torch::tensor(first_query, torch::kInt32), device);
  made.keys = to_device(torch::tensor(first_key, torch::kInt32), device);
  if (prefix > 0) made.key_rows = to_device(torch::tensor(key_rows, torch::kInt64), device);
  found = std::move(made);
  return found;
}

}  // namespace peftlab
