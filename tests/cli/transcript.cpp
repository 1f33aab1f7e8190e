#include "transcript.h"

#include "support/files.h"

#include <sys/wait.h>

#include <cstdlib>
#include <sstream>
#include <string_view>

namespace peftlab::cli_test {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  while (!lines.empty() && lines.back().empty()) lines.pop_back();
  return lines;
}

/// Whether a line is what `expected`, with its [...], describes.
bool line_matches(std::string_view expected, std::string_view found) {
  constexpr std::string_view kAnything = "[...]";
  const size_t at = expected.find(kAnything);
  if (at == std::string_view::npos) return expected == found;
  if (!found.starts_with(expected.substr(0, at))) return false;
  const std::string_view rest = expected.substr(at + kAnything.size());
  for (size_t skip = at; skip <= found.size(); ++skip) {
    if (line_matches(rest, found.substr(skip))) return true;
  }
  return false;
}

bool matches_from(const std::vector<std::string>& expected, size_t e, const std::vector<std::string>& found, size_t f) {
  if (e == expected.size()) return f == found.size();
  if (expected[e] == "...") {
    for (size_t next = f; next <= found.size(); ++next) {
      if (matches_from(expected, e + 1, found, next)) return true;
    }
    return false;
  }
  return f < found.size() && line_matches(expected[e], found[f]) && matches_from(expected, e + 1, found, f + 1);
}

}  // namespace

std::vector<Step> parse_transcript(const std::string& text) {
  std::vector<Step> steps;
  std::istringstream stream(text);
  int number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (line.starts_with("# ")) continue;
    if (line.starts_with("$ ")) {
      steps.push_back({number, line.substr(2), {}, {}, 0});
    } else if (steps.empty()) {
      continue;
    } else if (line.starts_with("> ")) {
      steps.back().command.append("\n").append(line, 2);
    } else if (line.starts_with("! ")) {
      steps.back().errors.push_back(line.substr(2));
    } else if (line.starts_with("= ")) {
      steps.back().exit_code = std::stoi(line.substr(2));
    } else {
      steps.back().output.push_back(line);
    }
  }
  for (Step& step : steps) {
    while (!step.output.empty() && step.output.back().empty()) step.output.pop_back();
  }
  return steps;
}

Outcome run_command(const std::string& command, const fs::path& folder) {
  write_text(folder / ".command", command + "\n");
  const std::string line = "cd '" + folder.string() + "' && bash .command >.output 2>.errors </dev/null";
  const int status = std::system(line.c_str());
  Outcome outcome;
  outcome.output = lines_of(read_text(folder / ".output"));
  outcome.errors = lines_of(read_text(folder / ".errors"));
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return outcome;
}

bool matches(const std::vector<std::string>& expected, const std::vector<std::string>& found) {
  return matches_from(expected, 0, found, 0);
}

}  // namespace peftlab::cli_test
