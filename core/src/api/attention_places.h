#pragma once

/// \file
/// Where the rows of a pass lie, and what each of them sees.

#include "api/packed_attention.h"

#include <peftlab/nn/attention.h>

#include <map>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

namespace peftlab {

/// The rows of a pass as attention on a GPU is told them: where sequences begin, and whether a row sees all of its sequence
/// or what comes before it.
struct SequenceStarts {
  torch::Tensor queries, keys;  ///< int32 [sequences + 1] on the device
  int64_t most_queries = 0, most_keys = 0;
  bool is_causal = false;  ///< the last row of a sequence sees all of its keys, each one before it one key less
  torch::Tensor
      key_rows;  ///< int64: which rows of the prefix, then the keys, the keys are; undefined: there is no prefix
};

struct PEFTLAB_API AttentionPlan::Places {
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

  /// The same without a mask, for sequences in front of each of which so many keys stand. Absent where that cannot say it:
  /// a cache, a window, sequences of which a part is visible to all of it, rows of a last layer that alone see.
  const std::optional<SequenceStarts>& starts(int64_t prefix, int64_t window) const;

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
  /// Made where a GPU's attention needs them: by prefix and window.
  mutable std::map<std::pair<int64_t, int64_t>, std::optional<SequenceStarts>> all_starts;
};

}  // namespace peftlab
