#include "api/onednn.h"

#include <ATen/core/dispatch/Dispatcher.h>

namespace peftlab {
namespace {

using Reorder = at::Tensor(const at::Tensor&, std::optional<c10::SymInt>);
using Multiply = at::Tensor(const at::Tensor&, const at::Tensor&, const std::optional<at::Tensor>&, std::string_view,
                            c10::List<std::optional<at::Scalar>>, std::optional<std::string_view>);

template <typename Signature>
auto operation(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace

at::Tensor onednn_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  static const auto multiply = operation<Multiply>("mkldnn::_linear_pointwise");
  return multiply.call(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, "none",
                       c10::List<std::optional<at::Scalar>>(), "");
}

at::Tensor reordered(const at::Tensor& weight) {
  static const auto reorder = operation<Reorder>("mkldnn::_reorder_linear_weight");
  return reorder.call(weight, std::nullopt);
}

}  // namespace peftlab
