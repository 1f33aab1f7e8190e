#pragma once

/// \file
/// Attention on a CPU without masks or padding: sequences are computed where they lie.

#include "kernels/attention.h"

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace peftlab {

/// Who asks and what is seen.
struct PackedShape {
  /// Rows of one sequence.
  struct Rows {
    int64_t first, count;
  };
  std::vector<Rows> queries, keys;  ///< by sequence; the keys and values that are its own
  std::vector<Sight> sights;        ///< by row of queries; columns are those of the prefix, then the sequence's own
  double scale = 1.0;
  double dropout = 0.0;  ///< on the weights

  int64_t sequences() const { return static_cast<int64_t>(queries.size()); }
};

/// Whether packed_attention() and cached_attention() can: float32 or bfloat16 on a CPU.
bool can_be_packed(const torch::Tensor& q);

/// softmax(scale q k^T) v of what each row sees, with gradients: q [rows, heads, width], k and v [total, kv heads, width]
/// -> [rows, heads * width]. `prefix_k`, `prefix_v`: [prefix, kv heads, width] in front of every sequence, or undefined.
/// With drop-out it draws one number from the default generator.
torch::Tensor packed_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const torch::Tensor& prefix_k, const torch::Tensor& prefix_v, const PackedShape& shape);

/// The same, without gradients, where sequence s has its keys and values in the first columns of k[s] and v[s]: k and v
/// [sequences, kv heads, capacity, width]. `shape.keys` counts those columns.
torch::Tensor cached_attention(const torch::Tensor& q, const torch::Tensor& k, const torch::Tensor& v,
                               const PackedShape& shape);

}  // namespace peftlab
