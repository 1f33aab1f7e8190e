#include "train/adamw8bit.h"

#include "quantize/blockwise8.h"
#include "quantize/blockwise8_tensors.h"

#include <algorithm>
#include <cmath>

namespace peftlab::train {
namespace {

constexpr int64_t kBlock = 256;
constexpr int64_t kSmallest = 4096;     ///< numbers of the smallest parameter whose moments are codes
constexpr int64_t kRun = 256 * kBlock;  ///< numbers that are float32 at a time

}  // namespace

AdamW8bit::AdamW8bit(const TensorMap& parameters, const Options& options) : Optimizer(parameters, options) {
  for (const Slot& slot : slots_) {
    const int64_t numbers = slot.parameter.numel();
    const auto float32 = torch::TensorOptions(torch::kFloat32).device(slot.parameter.device());
    if (numbers < kSmallest) {
      moments_.push_back({torch::zeros({numbers}, float32), torch::zeros({numbers}, float32), {}, {}});
    } else {
      const int64_t blocks = (numbers + kBlock - 1) / kBlock;
      const auto uint8 = float32.dtype(torch::kUInt8);
      // A block whose scale is 0 holds zeros, whatever its codes.
      moments_.push_back({torch::zeros({numbers}, uint8), torch::zeros({numbers}, uint8),
                          torch::zeros({blocks}, float32), torch::zeros({blocks}, float32)});
    }
  }
  first_run_ = torch::empty({kRun});
  second_run_ = torch::empty({kRun});
}

void AdamW8bit::update(double learning_rate, double gradient_factor) {
  const torch::NoGradGuard no_grad;
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& slot = slots_[i];
    if (!slot.parameter.grad().defined()) continue;
    if (gradient_factor != 1.0) slot.parameter.grad().mul_(gradient_factor);
    const double t = slot.steps.add_(1).item<double>(), rate = learning_rate * slot.rate_factor;
    const Rule rule{rate, 1.0 - rate * slot.weight_decay, 1.0 - std::pow(options_.beta1, t),
                    std::sqrt(1.0 - std::pow(options_.beta2, t))};
    const auto parameter = slot.parameter.contiguous().view(-1), gradient = slot.parameter.grad().contiguous().view(-1);
    Moments& moments = moments_[i];
    if (moments.first_absmax.defined() && !parameter.device().is_cpu()) {
      const auto first = decode8_tensor(moments.first, moments.first_absmax, kBlock, true);
      const auto second = decode8_tensor(moments.second, moments.second_absmax, kBlock, false);
      update(rule, parameter, gradient, first, second);
      encode8_tensor(first, kBlock, true, moments.first, moments.first_absmax);
      encode8_tensor(second, kBlock, false, moments.second, moments.second_absmax);
    } else if (moments.first_absmax.defined()) {
      update_codes(rule, parameter, gradient, moments);
    } else {
      update(rule, parameter, gradient, moments.first, moments.second);
    }
    if (!slot.parameter.is_contiguous()) slot.parameter.copy_(parameter.view(slot.parameter.sizes()));
  }
}

void AdamW8bit::update(const Rule& rule, const torch::Tensor& parameter, const torch::Tensor& gradient,
                       const torch::Tensor& first, const torch::Tensor& second) const {
  const auto g = gradient.to(torch::kFloat32), w = parameter.to(torch::kFloat32);
  first.mul_(options_.beta1).add_(g, 1.0 - options_.beta1);
  second.mul_(options_.beta2).addcmul_(g, g, 1.0 - options_.beta2);
  const auto denominator = second.sqrt().div_(rule.correction2).add_(options_.epsilon);
  if (rule.decay != 1.0) w.mul_(rule.decay);
  w.addcdiv_(first, denominator, -rule.rate / rule.correction1);
  if (!w.is_same(parameter)) parameter.copy_(w);
}

void AdamW8bit::update_codes(const Rule& rule, const torch::Tensor& parameter, const torch::Tensor& gradient,
                             Moments& moments) {
  const float* const first_code = dynamic_code(/*is_signed=*/true).data();
  const float* const second_code = dynamic_code(/*is_signed=*/false).data();
  for (int64_t at = 0; at < parameter.numel(); at += kRun) {
    const int64_t n = std::min(kRun, parameter.numel() - at);
    const auto first = first_run_.narrow(0, 0, n), second = second_run_.narrow(0, 0, n);
    uint8_t* const first_q = moments.first.data_ptr<uint8_t>() + at;
    uint8_t* const second_q = moments.second.data_ptr<uint8_t>() + at;
    float* const first_absmax = moments.first_absmax.data_ptr<float>() + at / kBlock;
    float* const second_absmax = moments.second_absmax.data_ptr<float>() + at / kBlock;
    decode8(first_q, first_absmax, n, kBlock, first_code, first.data_ptr<float>());
    decode8(second_q, second_absmax, n, kBlock, second_code, second.data_ptr<float>());
    update(rule, parameter.narrow(0, at, n), gradient.narrow(0, at, n), first, second);
    encode8(first.data_ptr<float>(), n, kBlock, true, first_q, first_absmax, Nearest::kBitsandbytesCpu);
    encode8(second.data_ptr<float>(), n, kBlock, false, second_q, second_absmax, Nearest::kBitsandbytesCpu);
  }
}

TensorMap AdamW8bit::state() const {
  TensorMap state;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const std::string& name = slots_[i].name;
    state[name + "/m"] = moments_[i].first;
    state[name + "/v"] = moments_[i].second;
    state[name + "/t"] = slots_[i].steps;
    if (!moments_[i].first_absmax.defined()) continue;
    state[name + "/m_absmax"] = moments_[i].first_absmax;
    state[name + "/v_absmax"] = moments_[i].second_absmax;
  }
  return state;
}

}  // namespace peftlab::train
