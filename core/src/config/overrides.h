#pragma once

/// \file
/// `--set KEY=VALUE`: what the command line says instead of the file.

#include "config/document.h"

#include <string>
#include <vector>

namespace peftlab::config {

/// Changes the file's tree `root` as each KEY=VALUE says; what is wrong with one is added to `problems`.
void apply_overrides(Node& root, const std::vector<std::string>& overrides, std::vector<Diagnostic>& problems);

}  // namespace peftlab::config
