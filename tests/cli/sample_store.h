#pragma once

/// \file
/// A small store made by hand, for the commands that look at one.

#include <filesystem>

namespace peftlab::cli_test {

/// The experiment "toy": methods full (the baseline) and lora, seeds 0 and 1 finished, lora with seed 2 failed.
///   bleu on test    full 10 and 12, lora 20 and 24
///   train/loss      of lora with seed 0: 2, then 1
/// The runs of lora left an adapter of two files, those of full nothing.
void make_sample_store(const std::filesystem::path& folder);

}  // namespace peftlab::cli_test
