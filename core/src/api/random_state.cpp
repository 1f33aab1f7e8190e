#include "api/random_state.h"

#include <ATen/Context.h>

#include <mutex>

namespace peftlab {

RandomState::RandomState(torch::Device device) {
  remember(torch::Device(torch::kCPU));
  if (device.is_cuda()) remember(device);
}

void RandomState::restore() const {
  for (const auto& [generator, state] : states_) {
    at::Generator target = generator;
    const std::lock_guard lock(target.mutex());
    target.set_state(state);
  }
}

void RandomState::remember(torch::Device device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  states_.emplace_back(generator, generator.get_state());
}

}  // namespace peftlab
