#pragma once

/// \file
/// The two laws about options, the same for methods, data sets and metrics.

#include "testing/bench.h"

#include <functional>

namespace peftlab::testing {

/// What the constructor reads of these options stays in the Params.
using Constructor = std::function<void(Params&)>;

Violations options_have_sound_defaults(const Constructor& make);
Violations unknown_options_are_refused(const Constructor& make);

}  // namespace peftlab::testing
