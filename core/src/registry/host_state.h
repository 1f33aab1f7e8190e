#pragma once

/// \file
/// What all code in a process shares and a plugin must leave as it was.

#include <peftlab/export.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::registry {

/// LibTorch's threads, gradient mode, default type and determinism, the C and C++ locales, the rounding of floating-point
/// numbers, the working folder, and the handlers of SIGINT, SIGTERM, SIGPIPE, SIGCHLD and SIGSEGV, as they are now. With
/// `random`, the state of LibTorch's CPU generator too.
class HostState {
 public:
  explicit HostState(bool random);
  ~HostState();
  HostState(const HostState&) = delete;
  HostState& operator=(const HostState&) = delete;

  /// Puts back what is different now. Returns what that was: "the C locale", one entry each.
  std::vector<std::string> restore() const;

 private:
  struct Kept;
  std::unique_ptr<Kept> kept_;
};

}  // namespace peftlab::registry
