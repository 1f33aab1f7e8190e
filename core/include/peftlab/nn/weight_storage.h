#pragma once

/// \file
/// The frozen weight of a linear map where it is not kept as a tensor of real numbers: 4-bit codes in blocks, 8-bit
/// codes by row, or 16-bit numbers under float32 arithmetic.

#include <peftlab/export.h>

#include <torch/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace peftlab {

/// Which codes, and how they are scaled.
struct PEFTLAB_API QuantizationFormat {
  /// "nf4" (Dettmers et al., 2023, arXiv:2305.14314), "fp4", "int8" (one scale a row; Dettmers et al., 2022,
  /// arXiv:2208.07339) or "bfloat16" (the numbers themselves, rounded).
  std::string type = "nf4";
  int64_t block_size = 64;          ///< weights that share a scale, a power of two from 32 to 4096; nf4 and fp4 only
  bool double_quantization = true;  ///< the scales as 8-bit codes too, 256 to a scale; nf4 and fp4 only

  /// Throws: ConfigError naming the field, what it is and what there is.
  void check() const;
};

/// A weight W [out, in] in some format. It does not change, and any number of threads may use it.
class PEFTLAB_API WeightStorage {
 public:
  virtual ~WeightStorage();

  virtual const QuantizationFormat& format() const = 0;
  virtual int64_t in() const = 0;
  virtual int64_t out() const = 0;
  /// The type of the weight it was made of.
  virtual torch::ScalarType dtype() const = 0;
  virtual torch::Device device() const = 0;
  /// Memory of all that it keeps.
  virtual int64_t bytes() const = 0;

  /// x W^T: x [..., in] of a real type -> [..., out] of that type, with a gradient to x alone. The whole of W is never
  /// made, and nothing of its size is kept for the backward pass.
  virtual torch::Tensor multiply(const torch::Tensor& x) const = 0;

  /// W as real numbers, [out, in].
  virtual torch::Tensor dense(torch::ScalarType type) const = 0;
  /// Writes the rows of W from `first` on into `to` [n, in], contiguous, of float32, bfloat16 or float16: to look at W a
  /// piece at a time, in memory that is used again.
  virtual void write_rows(int64_t first, const torch::Tensor& to) const = 0;

  /// What a checkpoint holds of it, by the names that transformers and bitsandbytes put behind the module's:
  /// "weight", "weight.absmax", "weight.quant_map", ... All but "weight" may be absent.
  virtual std::map<std::string, torch::Tensor> tensors() const = 0;

  /// The same codes on another device.
  virtual std::shared_ptr<const WeightStorage> to(torch::Device device) const = 0;
};

/// `weight` [out, in], float32, float16 or bfloat16, in `format`, computed on its device.
/// Throws: ConfigError for a format there is not; UnsupportedError where its device cannot.
PEFTLAB_API std::shared_ptr<const WeightStorage> quantize(const torch::Tensor& weight,
                                                          const QuantizationFormat& format);

/// What tensors() gave, or bitsandbytes wrote, of a map [out, in]. Throws: FormatError that names the tensor (after
/// `module`) and what is wrong: one missing, too many, of another type or length, a table of codes or a state that is
/// not known.
PEFTLAB_API std::shared_ptr<const WeightStorage> read_quantized(const std::map<std::string, torch::Tensor>& tensors,
                                                                const std::string& module, int64_t in, int64_t out);

}  // namespace peftlab
