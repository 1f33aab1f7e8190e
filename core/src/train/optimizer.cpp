#include "train/optimizer.h"

#include "train/adamw.h"
#include "train/adamw8bit.h"
#include "train/paged_adamw.h"

#include <peftlab/error.h>
#include <peftlab/method.h>
#include <peftlab/params.h>

namespace peftlab::train {

bool decays(const std::string& name, const torch::Tensor& parameter) {
  if (name.substr(name.find_last_of("/.") + 1).starts_with("bias")) return false;
  // Of the base's own parameters, one dimension is a norm's.
  return parameter.dim() > 1 || !name.starts_with("base/");
}

Optimizer::Optimizer(const TensorMap& parameters, const Options& options) : options_(options) {
  for (const auto& [name, parameter] : parameters) {
    const auto factor = options.rate_factors.find(name);
    slots_.push_back({name, parameter, decays(name, parameter) ? options.weight_decay : 0.0,
                      factor == options.rate_factors.end() ? 1.0 : factor->second,
                      torch::zeros({}, torch::TensorOptions(torch::kFloat32).device(parameter.device()))});
  }
}

std::optional<torch::Tensor> gradient_divisor(double gradient_factor, torch::Device device) {
  if (gradient_factor == 1.0) return std::nullopt;
  return torch::full({}, 1.0 / gradient_factor, torch::TensorOptions(torch::kFloat32).device(device));
}

void Optimizer::zero_gradients() {
  for (Slot& slot : slots_) slot.parameter.mutable_grad().reset();
}

void Optimizer::load_state(const TensorMap& state) {
  const torch::NoGradGuard no_grad;
  copy_tensors(state, this->state(), "the optimizer's state");
  loaded();
}

int64_t Optimizer::state_bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, tensor] : state()) bytes += static_cast<int64_t>(tensor.nbytes());
  return bytes;
}

std::unique_ptr<Optimizer> make_optimizer(const std::string& name, const TensorMap& parameters,
                                          const Optimizer::Options& options, const std::filesystem::path& folder) {
  if (name == kAdamW) return std::make_unique<AdamW>(parameters, options);
  if (name == kPagedAdamW) return std::make_unique<PagedAdamW>(parameters, options, folder);
  if (name == kAdamW8bit) return std::make_unique<AdamW8bit>(parameters, options);
  throw ConfigError("the optimizer `" + name + "` is not known. " +
                    suggestion(name, {kAdamW, kPagedAdamW, kAdamW8bit}));
}

}  // namespace peftlab::train
