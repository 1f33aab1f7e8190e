#include "train/sampler.h"

#include <numeric>
#include <utility>

namespace peftlab::train {
namespace {

/// SplitMix64 (Steele, Lea, Flood, 2014): the state goes up by a constant, the output is a mix of it.
uint64_t next(uint64_t& state) {
  state += 0x9E3779B97F4A7C15ULL;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
  return z ^ (z >> 31);
}

}  // namespace

uint64_t stream(int64_t seed, std::string_view purpose, int64_t moment) {
  uint64_t state = static_cast<uint64_t>(seed);
  uint64_t mixed = next(state);
  for (const char c : purpose) {
    state = mixed ^ static_cast<unsigned char>(c);
    mixed = next(state);
  }
  state = mixed ^ static_cast<uint64_t>(moment);
  return next(state);
}

std::vector<int64_t> epoch_order(int64_t n, int64_t seed, int64_t epoch, bool shuffle) {
  std::vector<int64_t> order(n);
  std::iota(order.begin(), order.end(), int64_t{0});
  if (!shuffle) return order;
  uint64_t state = stream(seed, "order", epoch);
  for (int64_t i = n - 1; i > 0; --i) {
    // Values that would favour low numbers are drawn again.
    const uint64_t bound = static_cast<uint64_t>(i) + 1;
    const uint64_t limit = UINT64_MAX - UINT64_MAX % bound;
    uint64_t drawn = next(state);
    while (drawn >= limit) drawn = next(state);
    std::swap(order[i], order[static_cast<int64_t>(drawn % bound)]);
  }
  return order;
}

}  // namespace peftlab::train
