#include "store/statistics.h"

#include <boost/math/distributions/normal.hpp>
#include <boost/math/distributions/students_t.hpp>

namespace peftlab::store {

double t_quantile_975(int64_t df) {
  if (df > kLargestDegreesOfFreedom) return boost::math::quantile(boost::math::normal(), 0.975);
  return boost::math::quantile(boost::math::students_t(static_cast<double>(df)), 0.975);
}

}  // namespace peftlab::store
