#pragma once

/// \file
/// What a plugin's file says of itself (see peftlab/plugin.h), read without loading it. The only header with libelf's room.

#include <cstdint>
#include <filesystem>
#include <string>

namespace peftlab::registry {

/// The text of the section PEFTLAB_RECORD_SECTION, as fields; what is not there is empty or 0.
struct Record {
  uint32_t abi = 0;
  uint32_t cxx11_abi = 0;
  std::string torch, compiler, kind, name;
};

/// Throws: PluginError saying why the file is no plugin: it is no shared library for this machine, or has no record.
Record read_record(const std::filesystem::path& file);

/// Why a library of this record cannot be used by this program; empty if it can. Both versions are named.
std::string record_problem(const Record& record);

}  // namespace peftlab::registry
