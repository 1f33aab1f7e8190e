#include "kernels/path.h"

#include <quantize/device_weight.h>
#include <quantize/formats.h>
#include <quantize/quant_state.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace peftlab {
namespace {

/// Up to so many rows of x the codes are multiplied as they are; from there on a product of tiles is faster, or of
/// pieces where x fits those. Measured with W [4096, 4096] on two cores; the units for matrices of newer processors (AMX) win
/// early in bfloat16.
constexpr int64_t kFewRowsFloat32 = 48;
constexpr int64_t kFewRowsBfloat16 = 24, kFewRowsBesideAmx = 8, kFewRowsBesidePieces = 4;
/// Rows of W whose scales are made at a time.
constexpr int64_t kRowsAtATime = 32;
constexpr int64_t kRowsAhead = 8, kNumbersInLine = 128;  // of W, in the caches

}  // namespace

FourBitWeight::FourBitWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype,
                             FourBitCodes codes, ScaleCodes scales)
    : TiledWeight(format, in, out, dtype),
      table_(four_bit_table(format.type)),
      log2_block_(std::countr_zero(static_cast<uint64_t>(format.block_size))),
      codes_(std::move(codes)),
      scales_(std::move(scales)) {}

const float* FourBitWeight::scales(int64_t first, int64_t n) const {
  auto* buffer = static_cast<float*>(scratch(1, (n + kScalePadding) * static_cast<int64_t>(sizeof(float))));
  if (format().double_quantization) {
    kernels().decode_scales(scales_.q.const_data_ptr<uint8_t>(), scales_.absmax.const_data_ptr<float>(), first, n,
                            scales_.code.const_data_ptr<float>(), scales_.offset, buffer);
  } else {
    std::memcpy(buffer, codes_.absmax.const_data_ptr<float>() + first, n * sizeof(float));
  }
  std::fill_n(buffer + n, kScalePadding, 0.0f);
  return buffer;
}

void FourBitWeight::tile(int64_t row, int64_t rows, int64_t column, int64_t columns, torch::ScalarType type,
                         void* to) const {
  const auto* packed = codes_.packed.const_data_ptr<uint8_t>();
  // Whole rows lie one behind the other and are one piece; the scales of a piece are made some at a time.
  const bool whole_rows = columns == in();
  const int64_t pieces = whole_rows ? 1 : rows, length = whole_rows ? rows * columns : columns;
  const int64_t at_a_time = int64_t{1} << std::max(log2_block_, 16);
  auto* out = static_cast<char*>(to);
  for (int64_t piece = 0; piece < pieces; ++piece) {
    const int64_t end = (row + piece) * in() + column + length;
    // Of a strip of columns the processor does not guess what comes next.
    for (int64_t number = end - length + kRowsAhead * in(); !whole_rows && number < end + kRowsAhead * in();
         number += kNumbersInLine) {
      __builtin_prefetch(packed + number / 2);
    }
    for (int64_t first = end - length; first < end;) {
      const int64_t next = std::min(end, (first / at_a_time + 1) * at_a_time), n = next - first;
      const int64_t first_block = first >> log2_block_, last_block = (next - 1) >> log2_block_;
      const float* absmax = scales(first_block, last_block - first_block + 1);
      const float* code = table_.code.data();
      if (type == torch::kFloat32) {
        kernels().decode4_float32(packed, absmax, first, n, log2_block_, code, reinterpret_cast<float*>(out));
      } else if (type == torch::kBFloat16) {
        kernels().decode4_bfloat16(packed, absmax, first, n, log2_block_, code, reinterpret_cast<uint16_t*>(out));
      } else {
        kernels().decode4_float16(packed, absmax, first, n, log2_block_, code, reinterpret_cast<uint16_t*>(out));
      }
      out += n * static_cast<int64_t>(c10::elementSize(type));
      first = next;
    }
  }
}

torch::Tensor FourBitWeight::without_tiles(const torch::Tensor& x, bool transposed) const {
  const bool fits = fits_pieces(x, transposed);
  if (!transposed && !(fits && x.size(0) > kFewRowsBesidePieces)) {
    if (const auto y = rows_along(x); y.defined()) return y;
  }
  return fits ? in_pieces(x, transposed) : torch::Tensor();
}

/// x W^T by dot4, where there is such a kernel for x and W: undefined otherwise.
torch::Tensor FourBitWeight::rows_along(const torch::Tensor& x) const {
  const auto type = x.scalar_type();
  const int64_t rows = x.size(0);
  const bool float32 = type == torch::kFloat32 && kernels().dot4_float32 != nullptr && rows <= kFewRowsFloat32;
  const bool bfloat16 = type == torch::kBFloat16 && kernels().dot4_bfloat16 != nullptr &&
                        rows <= (has_amx() ? kFewRowsBesideAmx : kFewRowsBfloat16);
  if ((!float32 && !bfloat16) || in() % kGroup != 0 || in() % format().block_size != 0) return {};

  const auto arranged = at::empty_like(x);
  if (float32) {
    rearrange_float32(x.const_data_ptr<float>(), x.numel(), arranged.mutable_data_ptr<float>());
  } else {
    rearrange_bfloat16(static_cast<const uint16_t*>(x.const_data_ptr()), x.numel(),
                       static_cast<uint16_t*>(arranged.mutable_data_ptr()));
  }
  const auto y = at::empty({rows, out()}, torch::kFloat32);
  at::parallel_for(0, out(), std::max<int64_t>(1, 65536 / in()),
                   [&](int64_t begin, int64_t end) { dot_rows(arranged, begin, end, y.mutable_data_ptr<float>()); });
  return y.to(type);
}

/// y[:, begin : end] for the rows [begin, end) of W.
void FourBitWeight::dot_rows(const torch::Tensor& x, int64_t begin, int64_t end, float* y) const {
  const auto* packed = codes_.packed.const_data_ptr<uint8_t>();
  const int64_t blocks = in() >> log2_block_, rows = x.size(0);
  for (int64_t first = begin; first < end; first += kRowsAtATime) {
    const int64_t last = std::min(first + kRowsAtATime, end);
    const float* absmax = scales(first * blocks, (last - first) * blocks);
    const auto* codes = packed + first * in() / 2;
    for (int64_t row = 0; row < rows; row += 4) {
      float sums[4 * kRowsAtATime];
      const int64_t some = std::min<int64_t>(4, rows - row);
      if (x.scalar_type() == torch::kFloat32) {
        kernels().dot4_float32(codes, absmax, in(), last - first, log2_block_, table_.code.data(),
                               x.const_data_ptr<float>() + row * in(), some, sums);
      } else {
        kernels().dot4_bfloat16(codes, absmax, in(), last - first, log2_block_, table_.code.data(),
                                static_cast<const uint16_t*>(x.const_data_ptr()) + row * in(), some, sums);
      }
      for (int64_t i = first; i < last; ++i) {
        for (int64_t j = 0; j < some; ++j) y[(row + j) * out() + i] = sums[(i - first) * some + j];
      }
    }
  }
}

std::map<std::string, torch::Tensor> FourBitWeight::tensors() const {
  std::map<std::string, torch::Tensor> tensors{
      {"weight", codes_.packed},
      {"weight.absmax", codes_.absmax},
      {"weight.quant_map", at::from_blob(const_cast<float*>(table_.code.data()), {16}, torch::kFloat32).clone()},
  };
  QuantState state{format(), dtype(), {out(), in()}, scales_.offset};
  if (format().double_quantization) {
    tensors["weight.absmax"] = scales_.q;
    tensors["weight.nested_absmax"] = scales_.absmax;
    tensors["weight.nested_quant_map"] = scales_.code;
  }
  auto text = state.text();
  tensors[kQuantStatePrefix + format().type] =
      at::from_blob(text.data(), {static_cast<int64_t>(text.size())}, torch::kUInt8).clone();
  return tensors;
}

std::shared_ptr<const WeightStorage> make_four_bit(const torch::Tensor& weight, const QuantizationFormat& format) {
  const auto& table = four_bit_table(format.type);
  FourBitCodes codes;
  if (weight.device().is_cpu()) {
    codes = encode_four_bit(weight, table, format.block_size);
  } else {
    codes = encode_four_bit_on_device(weight, table, format.block_size);
    codes = {codes.packed.cpu(), codes.absmax.cpu()};
  }
  ScaleCodes scales;
  if (format.double_quantization) {
    scales = encode_scales(codes.absmax);
    codes.absmax.reset();
  }
  return std::make_shared<FourBitWeight>(format, weight.size(1), weight.size(0), weight.scalar_type(), std::move(codes),
                                         std::move(scales));
}

}  // namespace peftlab
