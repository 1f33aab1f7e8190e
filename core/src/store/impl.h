#pragma once

/// \file
/// What the sources of Store share.

#include "store/sqlite.h"
#include "store/store.h"

#include <filesystem>
#include <string>

namespace peftlab::store {

inline constexpr int64_t kApplicationId = 0x5045464C;  // "PEFL"

struct Store::Impl {
  std::filesystem::path folder;
  Database db;

  /// The row of the run `uuid`.
  /// Throws: StoreError if there is none.
  Id run_id(const std::string& uuid) const;
  Id metric_id(const std::string& name);
};

/// Opens store.db and checks that it is a store of this version.
Database open_database(const std::filesystem::path& folder, Mode mode);

/// The tables, triggers and views of this version, and the quantiles, in an empty database.
void write_schema(Database& db);
/// Throws: StoreVersionError that says what to do about `file` having another schema version.
[[noreturn]] void throw_version_error(const std::filesystem::path& file, int64_t version);

/// Milliseconds since 1970.
int64_t now_ms();
/// A random uuid, version 4.
std::string make_uuid();

}  // namespace peftlab::store
