#pragma once

/// \file
/// Where a run takes place: facts that are kept with it.

#include <peftlab/value.h>

#include <torch/types.h>

namespace peftlab::run {

/// Host, system, processor, memory, device, versions, threads, and the source tree's commit where peftlab was built in
/// one. No environment variable is among them.
Table environment_facts(torch::Device device, int threads);

}  // namespace peftlab::run
