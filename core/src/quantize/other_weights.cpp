#include <peftlab/error.h>
#include <quantize/formats.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace peftlab {

Int8Weight::Int8Weight(QuantizationFormat format, torch::ScalarType dtype, torch::Tensor codes, torch::Tensor scales)
    : TiledWeight(std::move(format), codes.size(1), codes.size(0), dtype),
      codes_(std::move(codes)),
      scales_(std::move(scales)) {}

void Int8Weight::tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
                      void* to) const {
  auto* out = static_cast<char*>(to);
  for (int64_t i = row; i < row + rows; ++i) {
    const auto* q = codes_.const_data_ptr<int8_t>() + i * in() + column;
    const float scale = scales_.const_data_ptr<float>()[i] / 127.0f;
    if (type == torch::kFloat32) {
      kernels().decode_row_float32(q, scale, columns, reinterpret_cast<float*>(out));
    } else if (type == torch::kBFloat16) {
      kernels().decode_row_bfloat16(q, scale, columns, reinterpret_cast<uint16_t*>(out));
    } else {
      kernels().decode_row_float16(q, scale, columns, reinterpret_cast<uint16_t*>(out));
    }
    out += columns * static_cast<int64_t>(c10::elementSize(type));
  }
}

std::map<std::string, torch::Tensor> Int8Weight::tensors() const {
  // 0 says that rows lie one behind the other.
  return {{"weight", codes_}, {"SCB", scales_}, {"weight_format", at::zeros({}, torch::kUInt8)}};
}

std::shared_ptr<const WeightStorage> make_int8(const torch::Tensor& weight, const QuantizationFormat& format) {
  const auto dense = weight.detach().contiguous();
  const int64_t out = dense.size(0), in = dense.size(1);
  const auto codes = at::empty({out, in}, torch::kInt8), scales = at::empty({out}, torch::kFloat32);
  at::parallel_for(0, out, std::max<int64_t>(1, 16384 / std::max<int64_t>(1, in)), [&](int64_t begin, int64_t end) {
    const torch::NoGradGuard no_grad;
    for (int64_t i = begin; i < end; ++i) {
      const auto row = dense[i].to(torch::kHalf).to(torch::kFloat32);
      const float largest = in > 0 ? row.abs().max().item<float>() : 0.0f;
      scales[i].fill_(largest);
      // The reciprocal times 127, not 127 over the largest: the last bit of the factor decides ties.
      const float factor = largest > 0 ? 127.0f * (1.0f / largest) : 0.0f;
      codes[i].copy_((row * factor).round_());
    }
  });
  if (!at::isfinite(scales).all().item<bool>()) {
    throw UnsupportedError(
        "the weight has a number that float16 does not hold (above 65504, or not finite): it has no "
        "int8 code");
  }
  return std::make_shared<Int8Weight>(format, weight.scalar_type(), codes, scales);
}

Bfloat16Weight::Bfloat16Weight(QuantizationFormat format, torch::ScalarType dtype, torch::Tensor weight)
    : TiledWeight(std::move(format), weight.size(1), weight.size(0), dtype), weight_(std::move(weight)) {}

void Bfloat16Weight::tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
                          void* to) const {
  at::from_blob(to, {rows, columns}, torch::TensorOptions(type))
      .copy_(weight_.narrow(0, row, rows).narrow(1, column, columns));
}

torch::Tensor Bfloat16Weight::whole(torch::ScalarType type) const {
  return type == torch::kBFloat16 ? weight_ : torch::Tensor();
}

std::map<std::string, torch::Tensor> Bfloat16Weight::tensors() const { return {{"weight", weight_}}; }

}  // namespace peftlab
