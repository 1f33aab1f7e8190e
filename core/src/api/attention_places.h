#pragma once

/// \file
/// Where the rows of a pass lie, and what each of them sees.

#include "api/packed_attention.h"

#include <peftlab/nn/attention.h>

#include <map>
#include <tuple>
#include <vector>

namespace peftlab {

struct AttentionPlan::Places {
  Places(Layout layout, torch::Device device, const KeyValueCache* cache);

  /// The same sequences with queries at `rows` alone, int64 [n] ascending.
  Places(const Places& all, const torch::Tensor& rows);

  int64_t sequences() const { return layout.sequences(); }
  int64_t queries() const { return static_cast<int64_t>(place.size()); }
  /// Columns of the cache in use after this pass, the prefix not counted, and of one sequence.
  int64_t columns() const;
  int64_t columns(int64_t s) const { return (decoding ? seen[s] : 0) + layout.length(s); }

  /// What every query sees: the prefix, its sequence's context, what comes before it as far as a window reaches.
  std::vector<Sight> sights(const AttentionSite& site, int64_t window) const;

  Layout layout;
  torch::Device device;
  int64_t room = 0;  ///< tokens that may follow, in a cache
  bool decoding = false;
  std::vector<int64_t> seen;                   ///< per sequence, while decoding: rows in the cache
  torch::Tensor asked;                         ///< the rows with queries, int64 on the device; undefined: all
  std::vector<PackedShape::Rows> of_sequence;  ///< its queries
  std::vector<int64_t> place;                  ///< of each query: its place in its sequence, what was seen counted

  /// Made where LibTorch's attention needs them: by prefix, how far its positions reach, window and type.
  mutable std::map<std::tuple<int64_t, int64_t, int64_t, torch::ScalarType>, torch::Tensor> masks;
};

}  // namespace peftlab
