#pragma once

/// \file
/// A weight in the CPU's memory that is made real a tile at a time, for products with it.

#include <quantize/quantized_weight.h>

namespace peftlab {

/// What the formats have in common on the CPU: products, tile by tile.
class TiledWeight : public QuantizedWeight {
 public:
  using QuantizedWeight::QuantizedWeight;

  torch::Device device() const final { return torch::kCPU; }
  void write_rows(int64_t first, const torch::Tensor& to) const final;
  std::shared_ptr<const WeightStorage> to(torch::Device device) const final;

 protected:
  torch::Tensor multiply_rows(const torch::Tensor& x, bool transposed) const final;

  /// Writes W[row : row + rows, column : column + columns], one row after the other, as float32, bfloat16 or float16.
  virtual void tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
                    void* to) const = 0;
  /// The same as multiply_rows() where there is something better than tiles: undefined otherwise.
  virtual torch::Tensor without_tiles(const torch::Tensor& x, bool transposed) const;

 private:
  torch::Tensor few_rows_across(const torch::Tensor& x) const;
  void multiply_tiles(const torch::Tensor& x, const torch::Tensor& y, bool transposed) const;
};

/// A piece of memory of this thread that keeps its size from call to call: its contents are the caller's until the next
/// call with the same `slot` (0 to 3) on the thread. Aligned to 64 bytes.
void* scratch(int slot, int64_t bytes);

}  // namespace peftlab
