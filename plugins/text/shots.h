#pragma once

/// \file
/// Which training examples are shown in prompts.

#include <cstdint>
#include <string>
#include <vector>

namespace peftlab::text {

/// A training example as it is shown.
struct Shot {
  int64_t index = 0;  ///< in the training split
  size_t group = 0;   ///< its class; 0 where there are none
  std::string text;   ///< prompt and answer

  bool operator==(const Shot&) const = default;
};

/// Draws `count` of the examples 0, 1, ... of which `groups` tells the class: from each class alike, as far as it has
/// any, without putting back; the classes in an order of their own drawing, one example each in turn. The same seed
/// draws the same on every machine.
std::vector<int64_t> draw_balanced(const std::vector<uint32_t>& groups, int64_t count, uint64_t seed);

/// The `count` shots to show before an example that reads `own` (prompt and answer) and is number `index` of the
/// training split, or -1: the first ones, but for those that are the example itself or read just like it. In the place
/// of such a one stands the first later shot of its class, or of any class where there is none; fewer are given back
/// if there are no more.
std::vector<const Shot*> choose(const std::vector<Shot>& shots, int64_t count, int64_t index, const std::string& own);

}  // namespace peftlab::text
