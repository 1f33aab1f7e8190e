#include "api/few_rows.h"

#include "kernels/few_rows.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

namespace peftlab {
namespace {

constexpr int64_t kFewestNumbers = int64_t{1} << 15;  // of a weight; below, a call of LibTorch's is as quick
constexpr int64_t kMostRows = 48;                     // from there on its libraries are quicker
constexpr int64_t kFewestOfEach = 64;                 // inputs or outputs, for vectors and threads to share
constexpr int64_t kFewestAcross = 2;                  // rows, up to which [in, out] is read row by row
constexpr int64_t kAtOnce = int64_t{1} << 16;         // numbers of a weight that are worth a thread

/// W [in, out] read row by row, in parts whose number does not depend on that of the threads.
at::Tensor sum_of_parts(FewRowsCall call) {
  constexpr int64_t kParts = 8;
  const int64_t each = (call.in + kParts - 1) / kParts;
  const auto parts = at::zeros({kParts, call.rows, call.out}, at::kFloat);
  at::parallel_for(0, kParts, 1, [&](int64_t begin, int64_t end) {
    FewRowsCall part = call;
    for (int64_t i = begin; i < end; ++i) {
      part.y = parts.data_ptr<float>() + i * call.rows * call.out;
      few_rows_kernels().across(part, std::min(i * each, call.in), std::min((i + 1) * each, call.in));
    }
  });
  return parts.sum(0);
}

}  // namespace

bool is_of_few_rows(const at::Tensor& x, const at::Tensor& weight) {
  if (!x.device().is_cpu() || !weight.device().is_cpu() || weight.dim() != 2 || weight.numel() < kFewestNumbers) {
    return false;
  }
  if (x.scalar_type() != at::kFloat || weight.scalar_type() != at::kFloat) return false;
  if (std::min(weight.size(0), weight.size(1)) < kFewestOfEach) return false;
  if (x.numel() > kMostRows * weight.size(1) || at::autocast::is_autocast_enabled(at::kCPU)) return false;
  return weight.is_contiguous() || weight.t().is_contiguous();
}

at::Tensor product_of_few_rows(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t in = weight.size(1), out = weight.size(0);
  const auto rows = x.reshape({-1, in}).contiguous();
  const bool along = weight.is_contiguous();
  FewRowsCall call;
  call.weight = weight.const_data_ptr<float>();
  call.weight_row = along ? in : out;
  call.x = rows.const_data_ptr<float>();
  call.rows = rows.size(0);
  call.in = call.x_row = in;
  call.out = call.y_row = out;
  at::Tensor y;
  if (!along && call.rows <= kFewestAcross) {
    y = sum_of_parts(call);
  } else {
    y = along ? at::empty({call.rows, out}, rows.options()) : at::zeros({call.rows, out}, rows.options());
    call.y = y.mutable_data_ptr<float>();
    const auto kernel = along ? few_rows_kernels().along : few_rows_kernels().across_columns;
    // In blocks, so that vectors begin at the same columns with any number of threads.
    constexpr int64_t kBlock = 64;
    at::parallel_for(0, (out + kBlock - 1) / kBlock, std::max<int64_t>(1, kAtOnce / (kBlock * in)),
                     [&](int64_t begin, int64_t end) { kernel(call, kBlock * begin, std::min(kBlock * end, out)); });
  }
  if (bias.defined()) y += bias;
  auto sizes = x.sizes().vec();
  sizes.back() = out;
  return y.view(sizes);
}

}  // namespace peftlab
