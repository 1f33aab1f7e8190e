#include "api/matrix_product.h"

#include "api/few_rows.h"
#include "api/onednn.h"
#include "kernels/path.h"

#include <ATen/autocast_mode.h>
#include <torch/autograd.h>
#include <torch/torch.h>

#include <algorithm>
#include <optional>

namespace peftlab {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBlock = 32;
constexpr int64_t kNarrow = 16;                               // columns
constexpr int64_t kFewestMultiplications = int64_t{1} << 20;  // below, what a call costs is more than it saves

bool is_tracked(const at::Tensor& a, const at::Tensor& b) {
  return at::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad());
}

/// As oneDNN takes weights without copying them: rows or columns one behind the other.
at::Tensor readable(const at::Tensor& weight) {
  return weight.is_contiguous() || weight.t().is_contiguous() ? weight : weight.contiguous();
}

/// With rows of zeros behind, so that there is a whole number of blocks of them. oneDNN makes code for each number of rows
/// it meets, which takes longer than a product of a small model; batches of real texts have any number. Half a block over is
/// left as it is: real texts seldom meet it, and pictures (16 of 65 rows each) in every product.
at::Tensor whole_blocks(const at::Tensor& rows) {
  const int64_t n = rows.size(0), whole = (n + kBlock - 1) / kBlock * kBlock;
  if (n % (kBlock / 2) == 0 || n < kBlock) return rows;
  at::Tensor padded = at::empty({whole, rows.size(1)}, rows.options());
  padded.narrow(0, 0, n).copy_(rows);
  padded.narrow(0, n, whole - n).zero_();
  return padded;
}

/// x W^T + b, x [m, in], in whole blocks of rows where there are many.
at::Tensor in_blocks(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  if (is_of_few_rows(x, weight)) return product_of_few_rows(x, weight, bias);
  return onednn_linear(whole_blocks(x), readable(weight), bias).narrow(0, 0, x.size(0));
}

/// a b, where what is summed over are rows of a^T and b, as in a gradient of a weight: zeros there change nothing.
at::Tensor sum_over_rows(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor left = whole_blocks(a.t()), right = whole_blocks(b);
  // Of a narrow b, as LoRA's, oneDNN is quickest with the operands in turn, and the result is short enough to turn.
  const bool is_narrow = right.size(1) <= std::min(kNarrow, left.size(1));
  if (is_narrow) return onednn_linear(right.t(), readable(left.t()), {}).t().contiguous();
  return onednn_matmul(left.t(), right);
}

/// dy^T x in the order in which the weight's numbers lie, which autograd would else bring it into by a copy.
at::Tensor weight_gradient(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& weight) {
  const bool lies_transposed = !weight.is_contiguous() && weight.t().is_contiguous();
  return lies_transposed ? matrix_product(x.t(), dy).t() : matrix_product(dy.t(), x);
}

class LinearMap : public torch::autograd::Function<LinearMap> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& weight,
                               const std::optional<torch::Tensor>& bias) {
    context->save_for_backward({x, weight});
    context->saved_data["has_bias"] = bias.has_value();
    auto sizes = x.sizes().vec();
    sizes.back() = weight.size(0);
    return in_blocks(x.reshape({-1, weight.size(1)}), weight, bias.value_or(torch::Tensor())).view(sizes);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &weight = saved[1];
    const torch::Tensor dy = gradients[0].reshape({-1, weight.size(0)});
    torch::Tensor dx, dweight, dbias;
    if (context->needs_input_grad(0)) dx = matrix_product(dy, weight).view(x.sizes());
    if (context->needs_input_grad(1)) dweight = weight_gradient(dy, x.reshape({-1, weight.size(1)}), weight);
    if (context->saved_data["has_bias"].toBool() && context->needs_input_grad(2)) dbias = dy.sum(0);
    return {dx, dweight, dbias};
  }
};

}  // namespace

bool onednn_is_quicker() {
#if defined(__x86_64__)
  static const bool is_quicker = [] {
    __builtin_cpu_init();
    return at::hasMKLDNN() && !__builtin_cpu_is("intel") && best_path() >= Path::avx512;
  }();
  return is_quicker;
#else
  return false;
#endif
}

bool goes_to_onednn(const at::Tensor& a, const at::Tensor& b) {
  return onednn_is_quicker() && a.scalar_type() == at::kFloat && b.scalar_type() == at::kFloat && a.device().is_cpu() &&
         b.device().is_cpu() && a.layout() == at::kStrided && b.layout() == at::kStrided && a.dim() >= 1 &&
         b.dim() == 2 && b.numel() > 0 &&
         a.numel() / std::max<int64_t>(1, a.size(-1)) * b.numel() >= kFewestMultiplications &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b) {
  if (!goes_to_onednn(a, b) || is_tracked(a, b)) return at::mm(a, b);
  const bool sums_over_rows = !a.is_contiguous() && a.t().is_contiguous();
  return sums_over_rows ? sum_over_rows(a, b) : in_blocks(a, b.t(), {});
}

at::Tensor linear_by_onednn(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  return LinearMap::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt);
}

}  // namespace peftlab
