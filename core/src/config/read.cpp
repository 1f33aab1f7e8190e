#include "config/read.h"

#include "config/document.h"
#include "config/overrides.h"
#include "config/reader.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>

namespace peftlab::config {
namespace {

constexpr size_t kMostBytes = size_t{1} << 20;

[[noreturn]] void fail(const std::vector<Diagnostic>& problems, std::string_view text) {
  throw ConfigError(render(problems, text));
}

/// A file's bytes. Opened without blocking, so that a pipe in its place does not hold us up.
std::string read_file(const std::filesystem::path& path) {
  const Location where{path.string(), 0, 0, 1};
  const int file = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (file < 0) {
    fail({{where, fmt::format("cannot read the experiment file: {}", std::strerror(errno)), "", ""}}, "");
  }
  std::string text;
  std::string problem;
  struct stat info {};
  if (fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    problem = "the experiment file is not a regular file";
  }
  char chunk[65536];
  while (problem.empty()) {
    const ssize_t n = read(file, chunk, sizeof chunk);
    if (n == 0) {
      break;
    }
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      problem = fmt::format("cannot read the experiment file: {}", std::strerror(errno));
    } else if (text.size() + static_cast<size_t>(n) > kMostBytes) {
      problem = "the experiment file is larger than 1 MiB";
    } else {
      text.append(chunk, static_cast<size_t>(n));
    }
  }
  close(file);
  if (!problem.empty()) {
    fail({{where, problem, "", ""}}, "");
  }
  return text;
}

}  // namespace

Experiment parse_experiment(std::string_view text, const std::filesystem::path& path, const OptionChecker& checker,
                            const std::vector<std::string>& overrides) {
  std::vector<Diagnostic> problems;
  Node root = parse_toml(text, path.string(), problems);
  const bool malformed = !problems.empty() && root.entries.empty();
  if (!malformed) {
    apply_overrides(root, overrides, problems);
  }
  Experiment experiment;
  experiment.file = std::filesystem::absolute(path).lexically_normal();
  experiment.text = text;
  experiment.overrides = overrides;
  if (!malformed) {
    Reader(root, path.string(), checker, problems).read(experiment);
  }
  if (!problems.empty()) {
    fail(problems, text);
  }
  return experiment;
}

Experiment read_experiment(const std::filesystem::path& path, const OptionChecker& checker,
                           const std::vector<std::string>& overrides) {
  return parse_experiment(read_file(path), path, checker, overrides);
}

}  // namespace peftlab::config
