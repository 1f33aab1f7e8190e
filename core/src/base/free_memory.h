#pragma once

/// \file
/// What programs can still get of this machine's memory.

#include <peftlab/export.h>

#include <cstdint>
#include <optional>

namespace peftlab {

/// Bytes that can be had without paging, as the kernel tells them; nothing where it does not.
PEFTLAB_API std::optional<int64_t> free_memory();

}  // namespace peftlab
