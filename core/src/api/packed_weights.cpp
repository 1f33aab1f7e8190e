#include "api/packed_weights.h"

#include "api/onednn.h"
#include "kernels/path.h"

#include <ATen/Context.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/grad_mode.h>

#include <utility>

namespace peftlab {
namespace {

constexpr int64_t kMostRows = 64;                     // from there on packing gains less than a tenth
constexpr int64_t kFewestNumbers = int64_t{1} << 15;  // of a weight; below, a call takes longer than a product

thread_local PackedWeights* outermost = nullptr;

}  // namespace

PackedWeights::PackedWeights() : outer_(outermost) {
  if (!outer_) outermost = this;
}

PackedWeights::~PackedWeights() { outermost = outer_; }

PackedWeights* PackedWeights::current() { return outermost; }

bool PackedWeights::are_for(const at::Tensor& x, const at::Tensor& weight) {
  if (x.scalar_type() != at::kBFloat16 || weight.scalar_type() != at::kBFloat16 || weight.dim() != 2) return false;
  if (!x.device().is_cpu() || !weight.device().is_cpu() || weight.numel() < kFewestNumbers) return false;
  if (x.numel() == 0 || x.numel() > kMostRows * weight.size(1) || weight.requires_grad() || weight.is_inference()) {
    return false;
  }
  const bool is_tracked = at::GradMode::is_enabled() && x.requires_grad();
  return !is_tracked && !at::autocast::is_autocast_enabled(at::kCPU) && at::hasMKLDNN() && best_path() >= Path::bf16;
}

at::Tensor PackedWeights::product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  auto sizes = x.sizes().vec();
  sizes.back() = weight.size(0);
  return onednn_linear(x.reshape({-1, weight.size(1)}), packed(weight), bias).view(sizes);
}

const at::Tensor& PackedWeights::packed(const at::Tensor& weight) {
  const std::array<int64_t, 5> place = {reinterpret_cast<int64_t>(weight.const_data_ptr()), weight.size(0),
                                        weight.size(1), weight.stride(0), weight.stride(1)};
  const auto found = packed_.find(place);
  if (found != packed_.end() && found->second.version == weight._version()) return found->second.packed;
  Packed fresh{weight.detach(), weight._version(), onednn_packed(weight)};
  return packed_.insert_or_assign(place, std::move(fresh)).first->second.packed;
}

}  // namespace peftlab
