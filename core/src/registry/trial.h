#pragma once

/// \file
/// Libraries loaded first in a process that may die of it.

#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace peftlab::registry {

/// How a process of ours that did something in our stead came to its end.
struct TrialEnd {
  bool finished = false;  ///< it ended by itself with exit code 0
  std::string problem;    ///< else: "it was ended by signal 11 (Segmentation fault)", "it did not end within 10 s", ...
};

/// Calls `work` in a copy of this process, which is gone afterwards, and waits for it. Nothing it does is seen here but
/// what it writes into files and pipes. Requires: no other thread holds a lock that `work` needs.
TrialEnd try_apart(const std::function<void()>& work, std::chrono::milliseconds patience);

/// Loads each library in such a copy. The result holds those that ended it, with the reason; the others may be loaded.
std::map<std::filesystem::path, std::string> loads_that_end_the_process(
    const std::vector<std::filesystem::path>& files, std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace peftlab::registry
