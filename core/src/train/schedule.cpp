#include "train/schedule.h"

#include <peftlab/error.h>

#include <algorithm>
#include <cmath>

namespace peftlab::train {

double schedule_factor(const std::string& name, int64_t step, int64_t total, int64_t warmup) {
  if (step < warmup) return static_cast<double>(step) / static_cast<double>(std::max<int64_t>(1, warmup));
  if (name == "constant") return 1.0;
  const double span = static_cast<double>(std::max<int64_t>(1, total - warmup));
  if (name == "linear") return std::max(0.0, static_cast<double>(total - step) / span);
  if (name == "cosine") {
    const double progress = static_cast<double>(step - warmup) / span;
    return std::max(0.0, 0.5 * (1.0 + std::cos(M_PI * progress)));
  }
  throw ConfigError("lr_scheduler `" + name + "` is not known; there are constant, linear, cosine");
}

int64_t warmup_steps(double ratio, int64_t total) {
  return static_cast<int64_t>(std::ceil(ratio * static_cast<double>(total)));
}

}  // namespace peftlab::train
