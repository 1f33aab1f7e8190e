#include "api/matrix_product.h"

#include <peftlab/error.h>
#include <quantize/quantized_weight.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/autograd.h>

#include <sys/mman.h>

namespace peftlab {
namespace {

void require_real(torch::ScalarType type) {
  if (type != torch::kFloat32 && type != torch::kBFloat16 && type != torch::kHalf && type != torch::kDouble) {
    throw UnsupportedError(std::string("a product with a quantized weight has the type ") + c10::toString(type) +
                           ", wanted Float, BFloat16, Half or Double");
  }
}

struct Share : torch::CustomClassHolder {
  explicit Share(std::shared_ptr<const QuantizedWeight> weight) : weight(std::move(weight)) {}
  std::shared_ptr<const QuantizedWeight> weight;
};

class Product : public torch::autograd::Function<Product> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const std::shared_ptr<const QuantizedWeight>& weight, bool transposed) {
    context->saved_data["weight"] = torch::IValue::make_capsule(c10::make_intrusive<Share>(weight));
    context->saved_data["transposed"] = transposed;
    return weight->product(x, transposed);
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto share = c10::static_intrusive_pointer_cast<Share>(context->saved_data["weight"].toCapsule());
    const bool transposed = context->saved_data["transposed"].toBool();
    return {apply(gradients[0], share->weight, !transposed), torch::Tensor(), torch::Tensor()};
  }
};

/// Asks for large pages where a new tensor is large: its first touch is most of the time that filling it takes.
void expect_all_of(const torch::Tensor& t) {
  if (!t.device().is_cpu()) return;
  constexpr uintptr_t kLargePage = 2 << 20;
  const auto begin = reinterpret_cast<uintptr_t>(t.data_ptr()), end = begin + t.nbytes();
  const uintptr_t first = (begin + kLargePage - 1) / kLargePage * kLargePage, last = end / kLargePage * kLargePage;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
}

}  // namespace

QuantizedWeight::QuantizedWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype)
    : format_(std::move(format)), in_(in), out_(out), dtype_(dtype) {}

int64_t QuantizedWeight::bytes() const {
  int64_t sum = 0;
  for (const auto& [name, tensor] : tensors()) sum += tensor.nbytes();
  return sum;
}

torch::Tensor QuantizedWeight::whole(torch::ScalarType) const { return {}; }

torch::Tensor QuantizedWeight::multiply(const torch::Tensor& x) const {
  if (torch::GradMode::is_enabled() && x.requires_grad()) return Product::apply(x, shared_from_this(), false);
  return product(x, false);
}

torch::Tensor QuantizedWeight::product(const torch::Tensor& x, bool transposed) const {
  const int64_t from = transposed ? out_ : in_, to = transposed ? in_ : out_;
  TORCH_CHECK(x.dim() >= 1 && x.size(-1) == from, "the last size of the operand is not ", from, " but its shape is ",
              x.sizes());
  require_real(x.scalar_type());
  if (x.device() != device()) {
    throw UnsupportedError("the quantized weight is on the device " + device().str() +
                           ", what it is multiplied by on " + x.device().str());
  }
  const auto rows = x.detach().reshape({-1, from}).contiguous();
  auto sizes = x.sizes().vec();
  sizes.back() = to;
  if (const auto w = whole(x.scalar_type()); w.defined())
    return matrix_product(rows, transposed ? w : w.t()).view(sizes);
  if (rows.numel() == 0 || to == 0) return at::zeros({rows.size(0), to}, rows.options()).view(sizes);
  return multiply_rows(rows, transposed).view(sizes);
}

torch::Tensor QuantizedWeight::dense(torch::ScalarType type) const {
  require_real(type);
  if (type == torch::kDouble) return dense(torch::kFloat32).to(type);
  if (const auto w = whole(type); w.defined()) return w.clone();
  const auto w = at::empty({out_, in_}, torch::TensorOptions(type).device(device()));
  expect_all_of(w);
  write_rows(0, w);
  return w;
}

void QuantizedWeight::check_rows(int64_t first, const torch::Tensor& to) const {
  require_real(to.scalar_type());
  TORCH_CHECK(to.scalar_type() != torch::kDouble && to.device() == device() && to.dim() == 2 && to.is_contiguous() &&
                  to.size(1) == in_ && first >= 0 && first + to.size(0) <= out_,
              "rows of a weight [", out_, ", ", in_, "] on ", device().str(), " from ", first,
              " on cannot be written to ", to.sizes(), " of ", c10::toString(to.scalar_type()), " on ",
              to.device().str());
}

}  // namespace peftlab
