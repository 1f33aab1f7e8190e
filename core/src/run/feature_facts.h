#pragma once

/// \file
/// What the bits of a frozen part's output depend on, so that runs share only what each would have computed itself.

#include "attach/session.h"
#include "plan/run_spec.h"
#include "registry/registry.h"

#include <peftlab/value.h>

namespace peftlab::run {

/// All of it that is the same for every split of a run: the base, the plugins that read data and compute, the program,
/// the machine, and the settings of the libraries that multiply. Of the methods nothing: a part that they reach into is
/// not frozen, and in which form they keep the base's weights is said where features are named (train/shared_features.h).
/// Reads the base's weights.
Table feature_facts(const plan::RunSpec& spec, const attach::Session& session, const registry::Registry& registry,
                    int threads);

}  // namespace peftlab::run
