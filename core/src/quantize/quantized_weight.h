#pragma once

/// \file
/// What all quantized weights have in common, wherever they lie: their facts, and the gradient of a product.

#include <peftlab/nn/weight_storage.h>

#include <torch/types.h>

#include <memory>

namespace peftlab {

class QuantizedWeight : public WeightStorage, public std::enable_shared_from_this<QuantizedWeight> {
 public:
  QuantizedWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype);

  const QuantizationFormat& format() const final { return format_; }
  int64_t in() const final { return in_; }
  int64_t out() const final { return out_; }
  torch::ScalarType dtype() const final { return dtype_; }
  int64_t bytes() const final;

  /// The gradient of each product is the other of the gradient; autograd keeps a share in the codes for it, and no tensor.
  torch::Tensor multiply(const torch::Tensor& x) const final;
  torch::Tensor dense(torch::ScalarType type) const final;

  /// x W^T, or x W where `transposed`, without gradient. x [..., in] or [..., out].
  torch::Tensor product(const torch::Tensor& x, bool transposed) const;

 protected:
  /// The same of x [M, in] or [M, out], contiguous, of a type there is, on the weight's device.
  virtual torch::Tensor multiply_rows(const torch::Tensor& x, bool transposed) const = 0;
  /// W, where it is kept as numbers of that type: undefined otherwise.
  virtual torch::Tensor whole(torch::ScalarType type) const;
  /// Refuses to write rows where `to` is not what write_rows() takes.
  void check_rows(int64_t first, const torch::Tensor& to) const;

 private:
  QuantizationFormat format_;
  int64_t in_, out_;
  torch::ScalarType dtype_;
};

/// The type in which pieces of a weight are made for an operand of `type`.
inline torch::ScalarType piece_type(torch::ScalarType type) { return type == torch::kDouble ? torch::kFloat32 : type; }

}  // namespace peftlab
