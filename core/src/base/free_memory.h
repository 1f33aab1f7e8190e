#pragma once

/// \file
/// What programs can still get of this machine's memory.

#include <peftlab/export.h>

#include <cstdint>
#include <filesystem>
#include <optional>

namespace peftlab {

/// Bytes that this process can have without paging: those of the machine, or those that its control group (of either
/// version, as containers and batch systems set limits) and the groups around it leave, whichever are fewer; nothing where
/// the kernel does not tell. `root` is where /proc and /sys are looked for.
PEFTLAB_API std::optional<int64_t> free_memory(const std::filesystem::path& root = "/");

}  // namespace peftlab
