#pragma once

/// \file
/// The kernels of quantized weights; what they do is told in quantize/device_kernels.h.

#include <quantize/device_kernels.h>

namespace peftlab::cuda {

const DeviceKernels& quantized_kernels();

}  // namespace peftlab::cuda
