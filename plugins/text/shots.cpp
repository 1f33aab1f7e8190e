#include "shots.h"

#include <algorithm>
#include <map>
#include <random>

namespace peftlab::text {
namespace {

/// Moves `count` items, drawn without putting back, to the front. The remainder of a 64-bit number is a fair enough
/// draw, and unlike std::shuffle the same with every library.
template <typename T>
void shuffle_front(std::vector<T>& items, size_t count, std::mt19937_64& random) {
  for (size_t i = 0; i < std::min(count, items.size()); ++i) {
    std::swap(items[i], items[i + random() % (items.size() - i)]);
  }
}

}  // namespace

std::vector<int64_t> draw_balanced(const std::vector<uint32_t>& groups, int64_t count, uint64_t seed) {
  std::map<uint32_t, std::vector<int64_t>> members;
  for (size_t i = 0; i < groups.size(); ++i) members[groups[i]].push_back(static_cast<int64_t>(i));
  std::mt19937_64 random(seed);
  std::vector<std::vector<int64_t>> classes;
  for (auto& [group, indices] : members) {
    shuffle_front(indices, static_cast<size_t>(count), random);
    classes.push_back(std::move(indices));
  }
  shuffle_front(classes, classes.size(), random);
  std::vector<int64_t> drawn;
  const auto wanted = static_cast<size_t>(std::min(count, static_cast<int64_t>(groups.size())));
  for (size_t round = 0; drawn.size() < wanted; ++round) {
    for (const auto& indices : classes) {
      if (round < indices.size() && drawn.size() < wanted) drawn.push_back(indices[round]);
    }
  }
  return drawn;
}

std::vector<const Shot*> choose(const std::vector<Shot>& shots, int64_t count, int64_t index, const std::string& own) {
  const auto is_own = [&](const Shot& shot) { return shot.index == index || shot.text == own; };
  const auto first = std::min(static_cast<size_t>(count), shots.size());
  std::vector<const Shot*> chosen;
  std::vector<bool> taken(shots.size(), false);
  for (size_t i = 0; i < first; ++i) {
    if (!is_own(shots[i])) {
      chosen.push_back(&shots[i]);
      continue;
    }
    size_t stand_in = shots.size();
    for (size_t k = first; k < shots.size(); ++k) {
      if (taken[k] || is_own(shots[k])) continue;
      if (stand_in == shots.size()) stand_in = k;
      if (shots[k].group != shots[i].group) continue;
      stand_in = k;
      break;
    }
    if (stand_in == shots.size()) continue;
    taken[stand_in] = true;
    chosen.push_back(&shots[stand_in]);
  }
  return chosen;
}

}  // namespace peftlab::text
