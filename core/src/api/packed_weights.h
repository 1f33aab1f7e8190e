#pragma once

/// \file
/// bfloat16 products of a few rows. oneDNN brings a weight into the order in which its kernels read it at every call, which
/// of few rows takes longer than the product. Who is about to make many of them brings each weight into it once.

#include <peftlab/export.h>

#include <torch/types.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>

namespace peftlab {

/// While one lives, on its thread, product() packs a weight when it first meets it, and keeps what it packed: as much memory
/// as the weight has. Bringing it there takes as long as some 20 products of one row save. Of those that live, the outermost
/// is asked.
class PEFTLAB_API PackedWeights {
 public:
  PackedWeights();
  ~PackedWeights();
  PackedWeights(const PackedWeights&) = delete;
  PackedWeights& operator=(const PackedWeights&) = delete;

  /// The one to ask on this thread; null if none lives.
  static PackedWeights* current();

  /// Whether product() can, and is quicker than torch::linear: x [..., in] of at most 64 rows and weight [out, in], in any
  /// order, are bfloat16 on a CPU with AVX512-BF16, the weight is large and frozen, and autograd does not look on.
  static bool are_for(const at::Tensor& x, const at::Tensor& weight);

  /// x W^T + bias.
  at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias);

  size_t size() const { return packed_.size(); }

 private:
  struct Packed {
    at::Tensor weight;  ///< the one that was packed: as long as it is kept no other has its memory
    int64_t version;
    at::Tensor packed;
  };

  const at::Tensor& packed(const at::Tensor& weight);

  PackedWeights* const outer_;
  std::map<std::array<int64_t, 5>, Packed> packed_;  ///< by address, sizes and strides
};

}  // namespace peftlab
