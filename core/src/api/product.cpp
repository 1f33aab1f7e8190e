#include "api/few_rows.h"
#include "api/matrix_product.h"
#include "api/packed_weights.h"

#include <peftlab/nn/product.h>

#include <torch/torch.h>

namespace peftlab {

torch::Tensor product(const torch::Tensor& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  const bool is_tracked = at::GradMode::is_enabled() && (x.requires_grad() || weight.requires_grad());
  if (!is_tracked && is_of_few_rows(x, weight)) return product_of_few_rows(x, weight, bias);
  if (PackedWeights* const packed = PackedWeights::current(); packed && PackedWeights::are_for(x, weight)) {
    return packed->product(x, weight, bias);
  }
  return goes_to_onednn(x, weight) ? linear_by_onednn(x, weight, bias) : torch::linear(x, weight, bias);
}

}  // namespace peftlab
