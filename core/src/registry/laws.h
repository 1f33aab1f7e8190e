#pragma once

/// \file
/// What a plugin promises about its options, checked without a model or data: part of `peftlab plugins check`.

#include "registry/registry.h"

#include <string>
#include <vector>

namespace peftlab::registry {

/// The laws of options that `plugin` breaks, one sentence each; none if it keeps them:
///   it can be made from an empty table, but for options that must be given; its defaults pass its own checks;
///   every option has a meaning, and no two have one name; an option it does not know is refused.
/// A model's options are its config.json, of which nothing is known here: nothing is asked of it.
std::vector<std::string> broken_option_laws(const Registry& registry, const Plugin& plugin);

}  // namespace peftlab::registry
