#include "api/onednn.h"

#include <ATen/core/dispatch/Dispatcher.h>

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

}  // namespace peftlab
