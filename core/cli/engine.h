#pragma once

/// \file
/// The commands that compute, in the library libpeftlab_engine.so: LibTorch, which takes a quarter of a second to load,
/// comes with it. The two sides are built together and share their types; nothing else opens the library.

#include "command.h"

namespace peftlab::cli {

/// What the library exports under its name: the command's function for its name and words.
using EngineEntry = int (*)(const std::string& command, const Words& words);
inline constexpr const char* kEngineEntry = "peftlab_engine";

/// Opens the library at the first call. Throws: Error if it cannot be opened; what the command throws.
int call_engine(const std::string& command, const Words& words);

}  // namespace peftlab::cli
