#pragma once

/// \file
/// Learning-rate schedules as Hugging Face transformers defines them (optimization.py, get_*_schedule*).

#include <cstdint>
#include <string>

namespace peftlab::train {

/// The factor on the learning rate at optimizer step `step` (0 for the first) of `total`.
///
/// For the first `warmup` steps it rises by 1 / warmup a step from 0; then constant stays 1, linear falls to 0 at
/// `total`, cosine follows half a cosine to 0. Requires: name is "constant", "linear" or "cosine".
double schedule_factor(const std::string& name, int64_t step, int64_t total, int64_t warmup);

/// Steps of warm-up for a ratio: rounded up.
int64_t warmup_steps(double ratio, int64_t total);

}  // namespace peftlab::train
