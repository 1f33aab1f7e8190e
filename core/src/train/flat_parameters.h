#pragma once

/// \file
/// Many small tensors as one, so that an update is one operation and not one for each of them.

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace peftlab::train {

/// Parameters that were moved into one buffer, one behind the other; they stay the tensors that they are to everybody else.
class FlatParameters {
 public:
  /// Numbers of the largest that is moved: of larger ones bringing gradients together costs more than a call.
  static constexpr int64_t kMostNumbers = int64_t{1} << 16;
  /// What LibTorch's kernels cut a tensor into. They may round what is left over otherwise than a whole block, so that with
  /// whole blocks alone a parameter's bits do not depend on what lies beside it.
  static constexpr int64_t kBlock = 64;

  /// Moves those that are small, contiguous, of one type and device, of whole blocks of kBlock bytes, and whose memory no
  /// other tensor has: a view that somebody made would be of the old memory.
  explicit FlatParameters(const std::vector<torch::Tensor>& parameters);

  /// Which were moved: places in the constructor's list, ascending.
  const std::vector<size_t>& moved() const { return moved_; }
  /// All of them, [numbers].
  const torch::Tensor& values() const { return values_; }
  /// For each of them its part of `flat` [numbers], in its shape.
  std::vector<torch::Tensor> parts_of(const torch::Tensor& flat) const;

  /// Their gradients, [numbers]; each one's own is its part of it from then on. Undefined where one of them has none, or has
  /// been given other memory since.
  torch::Tensor gradients();

 private:
  std::vector<size_t> moved_;
  std::vector<torch::Tensor> parameters_, gradient_parts_;
  torch::Tensor values_, gradients_;
};

}  // namespace peftlab::train
