#pragma once

/// \file
/// The commands of the program. Each is one file, called with the words behind its name; each answers `--help` itself
/// (see CommandLine) and returns the exit code. What it throws becomes a message and an exit code in main.cpp.
///
/// Commands that compute lie in engine/ and in a library of their own, which is opened when one of them is called: the
/// others start without LibTorch.

#include <string>
#include <string_view>
#include <vector>

namespace peftlab::cli {

using Words = std::vector<std::string>;

/// A row of the table of commands, or of a command's parts.
struct Command {
  const char* name;
  const char* summary;  ///< one line of `peftlab help`; empty: not listed there
  int (*function)(const Words& words);  ///< null: it is the engine's (see engine.h)
};

/// All of them, in the order in which help lists them.
const std::vector<Command>& commands();

int list_command(const Words& words);
int show_command(const Words& words);
int compare_command(const Words& words);
int diff_command(const Words& words);
int query_command(const Words& words);
int report_command(const Words& words);
int serve_command(const Words& words);
int export_command(const Words& words);
int tokenize_command(const Words& words);
int store_command(const Words& words);

/// The part of a command that has parts of its own ("store gc") is its first word. Calls it with the words after it, or
/// prints `help` where that was asked for.
/// Throws: ConfigError naming the parts there are.
int dispatch_part(const std::string& command, const Words& words, const std::vector<Command>& parts);

/// Writes `text` to standard output. Throws: OutputError if it does not take it.
void print(std::string_view text);
/// Writes a line to standard error: what is worth knowing but no result.
void note(std::string_view text);

}  // namespace peftlab::cli
