#pragma once

/// \file
/// Predictions and references as files of JSON lines, for `peftlab score`.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::evaluate {

/// The `prediction` of every line, in order; other keys are not looked at.
/// Throws: FormatError naming file and line, also for an empty line: leaving one out would shift all that follow.
std::vector<std::string> read_predictions(const std::filesystem::path& file);

/// The references of every line: {"reference": text} or {"references": [text, ...]}; null is a reference that is
/// missing. Throws: FormatError as above.
std::vector<std::vector<std::optional<std::string>>> read_references(const std::filesystem::path& file);

}  // namespace peftlab::evaluate
