#pragma once

/// \file
/// The draw of wrong captions, fully written out so that any program in any language can repeat it.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace peftlab::matching {

/// The generator SplitMix64: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014,
/// figure 17 with the constants of its mix64variant13.
class SplitMix64 {
 public:
  explicit SplitMix64(uint64_t state) : state_(state) {}

  uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

/// Draws min(count, items.size()) of `items` without replacement and leaves just these, in the order they were drawn:
/// Fisher-Yates from the front, at place k the item k + next() mod (size - k). The generator's state is the first
/// number of a SplitMix64 started at (the first number of one started at `seed`) xor `index`.
template <typename T>
void draw(std::vector<T>& items, size_t count, uint64_t seed, uint64_t index) {
  SplitMix64 random(SplitMix64(SplitMix64(seed).next() ^ index).next());
  const size_t drawn = count < items.size() ? count : items.size();
  for (size_t k = 0; k < drawn; ++k) {
    std::swap(items[k], items[k + random.next() % (items.size() - k)]);
  }
  items.resize(drawn);
}

}  // namespace peftlab::matching
