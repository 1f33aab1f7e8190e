#include "low_rank/update.h"

#include "api/matrix_product.h"

#include <ATen/autocast_mode.h>
#include <torch/autograd.h>
#include <torch/torch.h>

namespace peftlab::low_rank {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class Update : public torch::autograd::Function<Update> {
 public:
  static torch::Tensor forward(AutogradContext* context, const torch::Tensor& x, const torch::Tensor& a,
                               const torch::Tensor& b, double s) {
    // The scale is applied where the tensor is narrow.
    const torch::Tensor narrow = matrix_product(x.reshape({-1, a.size(1)}).to(a.scalar_type()), a.t()) * s;
    context->save_for_backward({x, a, b, narrow});
    context->saved_data["s"] = s;
    auto sizes = x.sizes().vec();
    sizes.back() = b.size(0);
    return matrix_product(narrow, b.t()).view(sizes);
  }

  static variable_list backward(AutogradContext* context, variable_list gradients) {
    const auto saved = context->get_saved_variables();
    const torch::Tensor &x = saved[0], &a = saved[1], &b = saved[2];
    const torch::Tensor dy = gradients[0].reshape({-1, b.size(0)});
    const double s = context->saved_data["s"].toDouble();
    // What was computed without a graph is computed again where the gradient itself is to be differentiated.
    const torch::Tensor wide = x.reshape({-1, a.size(1)}).to(a.scalar_type());
    const torch::Tensor narrow = torch::GradMode::is_enabled() ? torch::mm(wide, a.t()) * s : saved[3];
    const torch::Tensor dnarrow = matrix_product(dy, b) * s;
    torch::Tensor dx, da, db;
    if (context->needs_input_grad(0)) dx = matrix_product(dnarrow, a).view(x.sizes()).to(x.scalar_type());
    if (context->needs_input_grad(1)) da = matrix_product(dnarrow.t(), wide);
    if (context->needs_input_grad(2)) db = matrix_product(dy.t(), narrow);
    return {dx, da, db, torch::Tensor()};
  }
};

}  // namespace

torch::Tensor update_of(const torch::Tensor& x, const torch::Tensor& a, const torch::Tensor& b, double s) {
  // Autocast chooses types operation by operation, and has to see them.
  if (at::autocast::is_autocast_enabled(x.device().type())) {
    return torch::linear(torch::linear(x.to(a.scalar_type()), a) * s, b);
  }
  return Update::apply(x, a, b, s);
}

}  // namespace peftlab::low_rank
