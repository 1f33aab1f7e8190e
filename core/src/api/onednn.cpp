#include "api/onednn.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>

namespace at::native {

// Exported by LibTorch, whose wheel leaves the header out (ATen/native/mkldnn/Matmul.h): result = beta * result + alpha * a b.
TORCH_API void mkldnn_matmul(const Tensor& a, const Tensor& b, const Tensor& result, float beta, float alpha);

}  // namespace at::native

namespace peftlab {

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  using Multiply = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                              c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);
  static const auto multiply =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Multiply>();
  return multiply.call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                       c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor onednn_packed(const at::Tensor& weight) {
  using Pack = at::Tensor(const at::Tensor&, std::optional<int64_t>);
  static const auto pack =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_reorder_linear_weight", "").typed<Pack>();
  return pack.call(weight, std::nullopt);
}

at::Tensor onednn_matmul(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor result = at::empty({a.size(0), b.size(1)}, a.options());
  at::native::mkldnn_matmul(a, b, result, /*beta=*/0, /*alpha=*/1);
  return result;
}

}  // namespace peftlab
