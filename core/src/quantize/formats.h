#pragma once

/// \file
/// The formats a weight is kept in.

#include <quantize/four_bit.h>
#include <quantize/tiled_weight.h>

#include <map>
#include <string>

namespace peftlab {

/// nf4 and fp4.
class FourBitWeight : public TiledWeight {
 public:
  /// With `scales` the member absmax of `codes` is undefined.
  FourBitWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype, FourBitCodes codes,
                ScaleCodes scales);

  std::map<std::string, torch::Tensor> tensors() const override;

 protected:
  void tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
            void* to) const override;
  torch::Tensor without_tiles(const torch::Tensor& x, bool transposed) const override;

 private:
  /// The scales of the blocks [first, first + n), in memory of this thread with kScalePadding floats behind them.
  const float* scales(int64_t first, int64_t n) const;
  torch::Tensor rows_along(const torch::Tensor& x) const;
  void dot_rows(const torch::Tensor& x, int64_t begin, int64_t end, float* y) const;

  /// Whether in_pieces() takes x; it gives x W^T, or x W where `transposed`.
  bool fits_pieces(const torch::Tensor& x, bool transposed) const;
  torch::Tensor in_pieces(const torch::Tensor& x, bool transposed) const;
  torch::Tensor all_scales() const;

  const FourBitTable& table_;
  int log2_block_;
  FourBitCodes codes_;
  ScaleCodes scales_;
};

/// int8: each row of W as float16, times 127 over its largest magnitude, rounded (LLM.int8(), arXiv:2208.07339).
class Int8Weight : public TiledWeight {
 public:
  /// codes int8 [out, in], scales float32 [out], the largest magnitudes.
  Int8Weight(QuantizationFormat format, torch::ScalarType dtype, torch::Tensor codes, torch::Tensor scales);

  std::map<std::string, torch::Tensor> tensors() const override;

 protected:
  void tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
            void* to) const override;

 private:
  torch::Tensor codes_, scales_;
};

/// bfloat16: the numbers themselves.
class Bfloat16Weight : public TiledWeight {
 public:
  Bfloat16Weight(QuantizationFormat format, torch::ScalarType dtype, torch::Tensor weight);

  std::map<std::string, torch::Tensor> tensors() const override;

 protected:
  void tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
            void* to) const override;
  torch::Tensor whole(torch::ScalarType type) const override;

 private:
  torch::Tensor weight_;
};

/// `weight` [out, in] in each of them.
std::shared_ptr<const WeightStorage> make_four_bit(const torch::Tensor& weight, const QuantizationFormat& format);
std::shared_ptr<const WeightStorage> make_int8(const torch::Tensor& weight, const QuantizationFormat& format);

}  // namespace peftlab
