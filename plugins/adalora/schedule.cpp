#include "schedule.h"

#include <cmath>

namespace peftlab::adalora {

int64_t Schedule::budget(int64_t step) const {
  if (step <= warmup) return initial;
  if (step > end) return target;
  const double left = 1.0 - static_cast<double>(step - warmup) / static_cast<double>(end - warmup);
  const double extra = static_cast<double>(initial - target) * std::pow(left, 3.0);
  // Cut to an integer as a whole: cut before the sum it could differ by one from peft's.
  return static_cast<int64_t>(extra + static_cast<double>(target));
}

}  // namespace peftlab::adalora
