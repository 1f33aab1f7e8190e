#pragma once

/// \file
/// What is wrong with an experiment file, and how that is shown.

#include "config/experiment.h"

#include <string>
#include <string_view>
#include <vector>

namespace peftlab::config {

/// One thing wrong with the file.
struct Diagnostic {
  Location where;
  std::string message;
  std::string hint;  ///< a few words beside the marked text, such as "did you mean `rank`?"; may be empty
  std::string note;  ///< a line below, such as the list of known keys; may be empty

  bool operator==(const Diagnostic&) const = default;
};

/// All of them as text in the order of the file, with the source lines of `text`, and their number on the last line:
///
///     error: unknown key `rnak` in [[method]] "lora"
///       --> compare.toml:31:1
///        |
///     31 | rnak = 8
///        | ^^^^ did you mean `rank`?
///        = keys of plugin `lora`: rank, alpha
///
///     1 error; nothing was run
///
/// At most 20 are shown, the others counted.
std::string render(std::vector<Diagnostic> problems, std::string_view text);

}  // namespace peftlab::config
