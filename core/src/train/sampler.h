#pragma once

/// \file
/// In which order examples are seen: a function of seed and epoch alone, so that every method sees the same batches and
/// a resumed run goes on where it stopped.

#include <cstdint>
#include <string_view>
#include <vector>

namespace peftlab::train {

/// A number for one purpose ("order", "dropout") at one moment, from the seed. Purposes get streams of their own.
uint64_t stream(int64_t seed, std::string_view purpose, int64_t moment);

/// The examples of one epoch: 0 .. n - 1 shuffled (Fisher-Yates over SplitMix64), or in the order of the file.
std::vector<int64_t> epoch_order(int64_t n, int64_t seed, int64_t epoch, bool shuffle);

}  // namespace peftlab::train
