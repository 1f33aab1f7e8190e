#pragma once

/// \file
/// The quantiles that confidence intervals need.

#include <cstdint>

namespace peftlab::store {

/// From here on Student's t is taken for normal.
inline constexpr int64_t kLargestDegreesOfFreedom = 1000;

/// The 0.975 quantile of Student's t with `df` >= 1 degrees of freedom (relative error below 1e-12); above
/// kLargestDegreesOfFreedom that of the normal distribution.
double t_quantile_975(int64_t df);

}  // namespace peftlab::store
