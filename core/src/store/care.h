#pragma once

/// \file
/// Bringing stores together: an older one to this version, and two into one.

#include "store/store.h"

#include <filesystem>
#include <string>
#include <vector>

namespace peftlab::store {

/// Two stores say different things of the same run (exit code 7).
class MergeConflictError : public StoreError {
 public:
  using StoreError::StoreError;
};

struct Upgrade {
  int64_t from = 0, to = 0;           ///< schema versions; equal: there was nothing to do
  std::filesystem::path backup = {};  ///< the database as it was
};

/// Makes an older store one of this version. The database is written anew beside the old one, checked, and takes its
/// place in one step; the old one is kept as `backup/store-v<version>-<UTC time>.db`. Stopped at any moment, the store is
/// either the old one or the new one.
/// Throws: StoreVersionError for a store newer than this program; StoreError if there is no store, another process has
///         it open, a run is running, or the disk has not the room for a second database.
Upgrade upgrade(const std::filesystem::path& folder);

struct MergeSummary {
  int64_t runs_added = 0;
  int64_t runs_known = 0;             ///< were here already, or with the same result
  std::vector<std::string> left_out;  ///< runs that are not over, and failed ones of what is finished here; why
};

/// Adds the runs of `other` with all that belongs to them. Experiments are the same if their names are, variants if their
/// keys are, runs if their uuids are; which variants are current is what the newer invocation says. Done twice, or in the
/// other order, it makes no difference to what is compared.
/// Throws: MergeConflictError, with every conflict and nothing written: a run that is another in each store, a variant and
///         seed that both have finished with different results, a metric with another direction; StoreVersionError;
///         StoreError if the other store is damaged.
MergeSummary merge(Store& store, const std::filesystem::path& other, bool dry_run);

}  // namespace peftlab::store
