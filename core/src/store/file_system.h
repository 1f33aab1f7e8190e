#pragma once

/// \file
/// Whether a folder is a place for a store.

#include <cstdint>
#include <filesystem>
#include <string>

namespace peftlab::store {

/// What kind of network file system the number statfs() gives is, "NFS"; empty for all others. Write-ahead logging needs
/// memory that all its processes share, and so one machine (SQLite, "Write-Ahead Logging").
std::string network_file_system(int64_t type);

/// Throws: StoreError if the folder lies on a network file system, unless PEFTLAB_STORE_ON_NETWORK=1 says that one machine
///         alone uses it.
void require_local(const std::filesystem::path& folder);

}  // namespace peftlab::store
