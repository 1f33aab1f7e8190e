#pragma once

/// \file
/// What is asked of the device itself. On a GPU the answers come from the library peftlab_cuda, which is opened only
/// then.

#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <string>

namespace peftlab::run {

/// "cpu", or the GPU's name as its driver gives it.
std::string device_name(torch::Device device);

/// Forgets the peak of memory so far: of the process, and of the device.
void reset_peak_memory(torch::Device device);

/// The most memory this process held since then: resident set, bytes. nullopt where the kernel does not tell.
std::optional<int64_t> peak_resident_bytes();

/// The most device memory LibTorch's allocator held since then; nullopt on the CPU.
std::optional<int64_t> peak_device_bytes(torch::Device device);

/// Waits for the device, so that clocks mean something.
void synchronize(torch::Device device);

}  // namespace peftlab::run
