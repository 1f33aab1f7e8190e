#pragma once

/// \file
/// Which LayerNorms are trained beside bottlenecks.

#include <string>
#include <vector>

namespace peftlab::adapter {

/// The norms of the stacks that `adapted` sites stand in. A norm belongs to the stack whose name has the most leading
/// parts in common with its own, so that one outside the layers (the vision tower's last) goes with its tower.
std::vector<std::string> norms_of(const std::vector<std::string>& norms, const std::vector<std::string>& sites,
                                  const std::vector<std::string>& adapted);

/// The parts of a name between its dots.
std::vector<std::string> split(const std::string& name);

}  // namespace peftlab::adapter
