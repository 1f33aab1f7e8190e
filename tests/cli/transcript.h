#pragma once

/// \file
/// A session at a terminal as a text file: commands, and what they print.
///
///     # A comment.
///     $ peftlab nosuch
///     > --option       (the command goes on)
///     standard output, line by line
///     ! standard error, line by line
///     = 2              (the exit code, where it is not 0)
///
/// In what is expected, [...] stands for anything within a line, a line of "..." for any lines. Empty lines at the end
/// of an output mean nothing.

#include <filesystem>
#include <string>
#include <vector>

namespace peftlab::cli_test {

struct Step {
  int line = 0;  ///< where it stands in the file, from 1
  std::string command;
  std::vector<std::string> output, errors;  ///< expected, may hold [...] and "..."
  int exit_code = 0;
};

/// What a command did.
struct Outcome {
  std::vector<std::string> output, errors;
  int exit_code = 0;
};

std::vector<Step> parse_transcript(const std::string& text);

/// Runs `command` with bash in `folder`, its standard input empty. A signal's exit code is 128 + its number.
Outcome run_command(const std::string& command, const std::filesystem::path& folder);

/// Whether `found` is what `expected` describes.
bool matches(const std::vector<std::string>& expected, const std::vector<std::string>& found);

}  // namespace peftlab::cli_test
