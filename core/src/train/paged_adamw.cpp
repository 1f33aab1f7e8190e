#include "train/paged_adamw.h"

namespace peftlab::train {
namespace {

constexpr int64_t kAlignment = 64;  ///< bytes; of every moment, as LibTorch aligns what it allocates
constexpr int64_t kWindow = int64_t{4} << 20;

int64_t aligned_bytes(const torch::Tensor& parameter) {
  return (static_cast<int64_t>(parameter.nbytes()) + kAlignment - 1) / kAlignment * kAlignment;
}

/// A tensor like the parameter at `offset` of the memory, which it keeps alive.
torch::Tensor moment(const torch::Tensor& parameter, const std::shared_ptr<PagedMemory>& memory, int64_t offset) {
  const auto layout = torch::empty_like(parameter, torch::TensorOptions().device(torch::kMeta));
  return torch::from_blob(
      static_cast<char*>(memory->data()) + offset, parameter.sizes(), layout.strides(), [memory](void*) {},
      parameter.options().requires_grad(false));
}

}  // namespace

PagedAdamW::PagedAdamW(const TensorMap& parameters, const Options& options, const std::filesystem::path& folder)
    : Optimizer(parameters, options) {
  int64_t total = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const int64_t bytes = 2 * aligned_bytes(slots_[i].parameter);
    if (windows_.empty() || windows_.back().bytes >= kWindow) windows_.push_back({i, i, total, 0});
    windows_.back().end = i + 1;
    windows_.back().bytes += bytes;
    total += bytes;
  }
  if (total == 0) {
    windows_.clear();
    return;
  }
  const auto device = slots_.front().parameter.device();
  memory_ = device.is_cpu() ? mapped_file(total, folder) : managed_memory(total, device);
  int64_t offset = 0;
  for (const Slot& slot : slots_) {
    const int64_t bytes = aligned_bytes(slot.parameter);
    first_.push_back(moment(slot.parameter, memory_, offset));
    second_.push_back(moment(slot.parameter, memory_, offset + bytes));
    offset += 2 * bytes;
  }
}

void PagedAdamW::update(double learning_rate, double gradient_factor) {
  const torch::NoGradGuard no_grad;
  const bool moving = windows_.size() > 1;
  if (moving) memory_->ahead(windows_.front().offset, windows_.front().bytes);
  for (size_t w = 0; w < windows_.size(); ++w) {
    const Window& window = windows_[w];
    if (w + 1 < windows_.size()) memory_->ahead(windows_[w + 1].offset, windows_[w + 1].bytes);
    for (size_t i = window.begin; i < window.end; ++i) {
      Slot& slot = slots_[i];
      if (!slot.parameter.grad().defined()) continue;
      at::_fused_adamw_({slot.parameter}, {slot.parameter.grad()}, {first_[i]}, {second_[i]}, {}, {slot.steps.add_(1)},
                        learning_rate * slot.rate_factor, options_.beta1, options_.beta2, slot.weight_decay,
                        options_.epsilon, /*amsgrad=*/false, /*maximize=*/false,
                        gradient_divisor(gradient_factor, slot.parameter.device()));
    }
    if (moving) memory_->done(window.offset, window.bytes);
  }
}

TensorMap PagedAdamW::state() const {
  TensorMap state;
  for (size_t i = 0; i < first_.size(); ++i) {
    state[slots_[i].name + "/m"] = first_[i];
    state[slots_[i].name + "/v"] = second_[i];
    state[slots_[i].name + "/t"] = slots_[i].steps;
  }
  return state;
}

}  // namespace peftlab::train
