#pragma once

/// \file
/// The way to peftlab_cuda for the rest of the host.

#include "cuda/peftlab_cuda.h"

namespace peftlab::cuda {

/// The functions of the library beside the program. It is opened at the first call and never closed.
/// Throws: PluginError if it cannot be.
const Functions& functions();

}  // namespace peftlab::cuda
