#pragma once

/// \file
/// A quantized weight in the memory of a GPU.

#include <quantize/device_kernels.h>
#include <quantize/four_bit.h>
#include <quantize/quantized_weight.h>

#include <map>
#include <string>

namespace peftlab {

/// Of any format. Products of few rows multiply the codes as they are; others make some rows of the weight at a time.
class DeviceWeight : public QuantizedWeight {
 public:
  /// `tensors`: as a checkpoint holds them, those that kernels read on `device`.
  DeviceWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype, torch::Device device,
               float offset, std::map<std::string, torch::Tensor> tensors);

  torch::Device device() const override { return device_; }
  std::map<std::string, torch::Tensor> tensors() const override { return tensors_; }
  void write_rows(int64_t first, const torch::Tensor& to) const override;
  std::shared_ptr<const WeightStorage> to(torch::Device device) const override;

 protected:
  torch::Tensor multiply_rows(const torch::Tensor& x, bool transposed) const override;
  torch::Tensor whole(torch::ScalarType type) const override;

 private:
  FourBitOnDevice four_bit() const;

  torch::Device device_;
  float offset_;
  std::map<std::string, torch::Tensor> tensors_;
};

/// The same codes on a GPU. Throws: UnsupportedError for a device that no kernels were given for.
PEFTLAB_API std::shared_ptr<const WeightStorage> put_on_device(const WeightStorage& weight, torch::Device device);

/// `weight`, which lies on a GPU, in 4-bit codes computed there. Throws: UnsupportedError where it is not finite.
PEFTLAB_API FourBitCodes encode_four_bit_on_device(const torch::Tensor& weight, const FourBitTable& table,
                                                   int64_t block);

}  // namespace peftlab
