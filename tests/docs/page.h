#pragma once

/// \file
/// What can be tried of a Markdown page: files that it shows, and sessions at a terminal.
///
///     `train.csv`:              this line, then a fenced block: the block is the file of that name
///
///     ```csv
///     text,label
///     ```
///
///     ```console                a session as tests/cli/transcript.h reads it
///     $ peftlab list
///     ```
///
/// All else, blocks in other languages without a name too, is for people alone.

#include <string>
#include <vector>

namespace peftlab::docs_test {

struct Part {
  int line = 0;      ///< the first line within the fences, from 1
  std::string file;  ///< its name; empty: a session
  std::string text;  ///< what is between the fences, a newline after every line
};

/// The files and sessions of a page in their order. A fence is at the beginning of a line.
/// Throws: std::runtime_error with the line of a fence that is not closed, or of a name that leads out of the folder.
std::vector<Part> parse_page(const std::string& markdown);

}  // namespace peftlab::docs_test
