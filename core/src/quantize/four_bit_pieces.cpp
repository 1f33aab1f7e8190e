// Products of 4-bit weights in bfloat16 that decode each piece of W once for all rows (pieces.h).
#include "kernels/path.h"

#include <quantize/formats.h>
#include <quantize/kernels.h>
#include <quantize/pieces.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <algorithm>

namespace peftlab {
namespace {

/// Up to so many rows; beyond, tiles are as quick. Measured on a Zen 4 with W [4096, 4096], [2048, 2048], [5504, 2048]
/// and [2048, 5504]: of x W^T, 32 rows take 0.78 or less of the time of dot4, 128 rows 0.95 or less of that with tiles; of x W,
/// 32 rows 0.45 to 0.7 of it, 128 rows 0.7 to 0.9, 384 rows 0.9.
constexpr int64_t kMostRowsAlong = 256, kMostRowsAcross = 512;

// A piece of 16 KB stays in the nearest cache for all rows of x. The sums of more than a piece are open meanwhile, so
// that what is read of W's rows lies together: decoding codes that are in main memory takes half as long.
constexpr int64_t kColumnsAlong = 1024, kOpenOutputs = 64;
constexpr int64_t kDepthAcross = 128, kOpenSums = int64_t{1} << 16, kFewestOpenColumns = 512;

struct Operands {
  const uint16_t* x;  ///< [rows, in], or [rows, out] of x W
  uint16_t* y;        ///< [rows, out], or [rows, in]
  int64_t rows;
};

const uint16_t* numbers_of(const torch::Tensor& x) { return static_cast<const uint16_t*>(x.const_data_ptr()); }

/// x [rows, in] as PieceKernels::along() reads it.
torch::Tensor arranged(const torch::Tensor& x) {
  const auto to = at::empty_like(x);
  kernels().pieces->arrange(numbers_of(x), x.size(0), x.size(1), static_cast<uint16_t*>(to.mutable_data_ptr()));
  return to;
}

template <typename T>
T* scratch_of(int slot, int64_t n) {
  return static_cast<T*>(scratch(slot, n * static_cast<int64_t>(sizeof(T))));
}

/// y = x W^T, x arranged, for outputs [begin, end).
void multiply_along(const PieceKernels& kernel, const CodesOfWeight& w, const Operands& operands, int64_t begin,
                    int64_t end) {
  auto* piece = scratch_of<uint16_t>(0, kOutputsAlong * kColumnsAlong);
  auto* sums = scratch_of<float>(1, operands.rows * kOpenOutputs);
  for (int64_t first = begin; first < end; first += kOpenOutputs) {
    const int64_t outputs = std::min(kOpenOutputs, end - first);
    std::fill_n(sums, operands.rows * kOpenOutputs, 0.0f);
    for (int64_t column = 0; column < w.in; column += kColumnsAlong) {
      const int64_t columns = std::min(kColumnsAlong, w.in - column);
      for (int64_t o = 0; o < outputs; o += kOutputsAlong) {
        kernel.along(w, first + o, column, columns, operands.x, operands.rows, sums + o, kOpenOutputs, piece);
      }
    }
    for (int64_t row = 0; row < operands.rows; ++row) {
      kernel.round_along(sums + row * kOpenOutputs, outputs, operands.y + row * w.out + first);
    }
  }
}

/// y = x W for columns [begin, end) of W.
void multiply_across(const PieceKernels& kernel, const CodesOfWeight& w, const Operands& operands, int64_t begin,
                     int64_t end) {
  const int64_t open = std::max(kFewestOpenColumns, kOpenSums / operands.rows / kRun * kRun);
  auto* piece = scratch_of<uint16_t>(0, kDepthAcross * kRun);
  auto* sums = scratch_of<float>(1, operands.rows * open);
  for (int64_t first = begin; first < end; first += open) {
    const int64_t columns = std::min(open, end - first);
    std::fill_n(sums, operands.rows * open, 0.0f);
    for (int64_t row = 0; row < w.out; row += kDepthAcross) {
      const int64_t depth = std::min(kDepthAcross, w.out - row);
      for (int64_t i = 0; i < columns; i += kRun) {
        kernel.across(w, row, depth, first + i, operands.x, operands.rows, sums + i, open, piece);
      }
    }
    for (int64_t row = 0; row < operands.rows; ++row) {
      kernel.round_across(sums + row * open, columns, operands.y + row * w.in + first);
    }
  }
}

/// Threads share outputs, so that sums are in the same order with any number of them.
void multiply_all(const CodesOfWeight& w, const Operands& operands, bool transposed) {
  const auto& kernel = *kernels().pieces;
  const int64_t outputs = transposed ? w.in : w.out, each = transposed ? kRun : kOutputsAlong;
  const auto part = transposed ? multiply_across : multiply_along;
  at::parallel_for(0, (outputs + each - 1) / each, 1, [&](int64_t begin, int64_t end) {
    part(kernel, w, operands, begin * each, std::min(end * each, outputs));
  });
}

}  // namespace

bool FourBitWeight::fits_pieces(const torch::Tensor& x, bool transposed) const {
  if (kernels().pieces == nullptr || has_amx() || x.scalar_type() != torch::kBFloat16) return false;
  if (x.size(0) == 0 || x.size(0) > (transposed ? kMostRowsAcross : kMostRowsAlong)) return false;
  return in() % kRun == 0 && format().block_size % kRun == 0 && !(transposed && out() % 2 != 0);
}

torch::Tensor FourBitWeight::in_pieces(const torch::Tensor& x, bool transposed) const {
  const auto scales = all_scales();
  const CodesOfWeight w = {.packed = codes_.packed.const_data_ptr<uint8_t>(),
                           .absmax = scales.const_data_ptr<float>(),
                           .code = table_.code.data(),
                           .log2_block = log2_block_,
                           .out = out(),
                           .in = in()};
  const auto rows = transposed ? x : arranged(x);
  const auto y = at::empty({x.size(0), transposed ? in() : out()}, x.options());
  multiply_all(w, {numbers_of(rows), static_cast<uint16_t*>(y.mutable_data_ptr()), x.size(0)}, transposed);
  return y;
}

/// float32 [blocks]: those kept, or made of their codes.
torch::Tensor FourBitWeight::all_scales() const {
  if (!format().double_quantization) return codes_.absmax;
  constexpr int64_t kAtATime = 1024;
  const int64_t blocks = scales_.q.numel();
  const auto all = at::empty({blocks}, torch::kFloat32);
  at::parallel_for(0, (blocks + kAtATime - 1) / kAtATime, 4, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kAtATime, count = std::min(end * kAtATime, blocks) - first;
    kernels().decode_scales(scales_.q.const_data_ptr<uint8_t>(), scales_.absmax.const_data_ptr<float>(), first, count,
                            scales_.code.const_data_ptr<float>(), scales_.offset,
                            all.mutable_data_ptr<float>() + first);
  });
  return all;
}

}  // namespace peftlab
