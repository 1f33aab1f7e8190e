#pragma once

/// \file
/// How many triplets all maps together may keep, step by step.

#include <cstdint>

namespace peftlab::adalora {

/// The budget: all triplets for `warmup` steps, then a cubic fall to `target` until step `end`. Steps count from 0.
///
/// Source: arXiv:2303.10512, the global budget scheduler of section 3.
struct Schedule {
  int64_t initial = 0;   ///< triplets there are
  int64_t target = 0;    ///< triplets that stay
  int64_t warmup = 0;    ///< the last step with all of them
  int64_t end = 0;       ///< the step from which on `target` holds, above `warmup`
  int64_t interval = 1;  ///< while it falls, triplets are chosen at the steps that this divides

  int64_t budget(int64_t step) const;
  /// Whether triplets are chosen at `step`, before `end`.
  bool chooses(int64_t step) const { return step > warmup && step % interval == 0; }
};

}  // namespace peftlab::adalora
