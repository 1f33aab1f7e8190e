#pragma once

/// \file
/// A weight that is made real a tile at a time, for products with it.

#include <peftlab/nn/weight_storage.h>

#include <torch/types.h>

#include <memory>

namespace peftlab {

/// What the formats have in common: products, tile by tile, and their gradient. On the CPU.
class TiledWeight : public WeightStorage, public std::enable_shared_from_this<TiledWeight> {
 public:
  TiledWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype);

  const QuantizationFormat& format() const final { return format_; }
  int64_t in() const final { return in_; }
  int64_t out() const final { return out_; }
  torch::ScalarType dtype() const final { return dtype_; }
  torch::Device device() const final { return torch::kCPU; }
  int64_t bytes() const final;

  torch::Tensor multiply(const torch::Tensor& x) const final;
  torch::Tensor dense(torch::ScalarType type) const final;
  std::shared_ptr<const WeightStorage> to(torch::Device device) const final;

  /// x W^T, or x W where `transposed`, without gradient. x [..., in] or [..., out].
  torch::Tensor product(const torch::Tensor& x, bool transposed) const;

 protected:
  /// Writes W[row : row + rows, column : column + columns], one row after the other, as float32, bfloat16 or float16.
  virtual void tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
                    void* to) const = 0;
  /// W, where it is kept as numbers of that type: undefined otherwise.
  virtual torch::Tensor whole(torch::ScalarType type) const;
  /// x W^T for x [M, in], contiguous, where there is something better than tiles: undefined otherwise.
  virtual torch::Tensor few_rows(const torch::Tensor& x) const;

 private:
  void multiply_tiles(const torch::Tensor& x, const torch::Tensor& y, bool transposed) const;

  QuantizationFormat format_;
  int64_t in_, out_;
  torch::ScalarType dtype_;
};

/// A piece of memory of this thread that keeps its size from call to call: its contents are the caller's until the next
/// call with the same `slot` (0 to 3) on the thread. Aligned to 64 bytes.
void* scratch(int slot, int64_t bytes);

}  // namespace peftlab
