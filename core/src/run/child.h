#pragma once

/// \file
/// A process of our own program, with its output read line by line.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace peftlab::run {

/// How a process ended.
struct ChildEnd {
  int exit_code = 0;
  int signal = 0;  ///< that killed it, or 0

  std::string text() const;  ///< "exit code 1", "killed by signal 9 (Killed)"
};

/// Runs this very program with `arguments`. Its standard output and error are pipes of ours.
class Child {
 public:
  explicit Child(const std::vector<std::string>& arguments);
  ~Child();  ///< Kills and awaits it if it still runs.
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  int output() const { return output_; }
  int errors() const { return errors_; }
  pid_t pid() const { return pid_; }

  /// Takes what is there without waiting; whole lines of standard output are returned, the last part of standard error is
  /// kept for error_tail().
  std::vector<std::string> read_lines();
  /// The last 4,000 bytes it wrote to standard error.
  const std::string& error_tail() const { return error_tail_; }

  /// How it ended; nullopt while it runs.
  std::optional<ChildEnd> ended();
  void signal(int number) const;

 private:
  pid_t pid_ = -1;
  int output_ = -1, errors_ = -1;
  std::string partial_, error_tail_;
  std::optional<ChildEnd> end_;
};

}  // namespace peftlab::run
