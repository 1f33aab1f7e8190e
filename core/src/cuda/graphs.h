#pragma once

/// \file
/// CUDA graphs: what a piece of work launches, kept to be launched again at once.

namespace peftlab::cuda {

/// Runs `work(given)` while what it launches on the device is recorded, not computed, on a stream of its own; backward
/// passes too, which LibTorch computes on another thread. What is under way there is waited for first.
/// Throws: what `work` throws; c10::Error where it does what cannot be recorded.
void* graph_record(int device, void (*work)(void*), void* given);
/// In the order of the current stream, with the random numbers that the device's generator is at.
void graph_replay(void* graph);
void graph_free(void* graph);

}  // namespace peftlab::cuda
