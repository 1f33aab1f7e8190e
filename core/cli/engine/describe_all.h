#pragma once

/// \file
/// All commands as data.

#include "describe.h"

namespace peftlab::cli {

/// Every command that help lists, with its parts, in help's order.
std::vector<CommandText> all_commands();

}  // namespace peftlab::cli
