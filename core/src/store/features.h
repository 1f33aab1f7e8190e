#pragma once

/// \file
/// features/: what frozen parts of models made of data, for all runs (train/shared_features.h writes it). A cache, of which
/// nothing stands in the database: any of its files may be deleted at any time, also while runs use it.

#include "store/records.h"

#include <filesystem>
#include <string>
#include <vector>

namespace peftlab::store {

/// All files there, those of a killed writer among them.
std::vector<Garbage> feature_files(const std::filesystem::path& store);

/// Whose tensors are not the bytes that they were written with. The next run that wants them makes them again.
std::vector<std::string> feature_problems(const std::filesystem::path& store);

}  // namespace peftlab::store
