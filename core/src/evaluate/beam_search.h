#pragma once

/// \file
/// Beam search as transformers 4.57 does it, so that its answers are the same.

#include "evaluate/continuation.h"
#include "evaluate/generation_options.h"

#include <cstdint>
#include <vector>

namespace peftlab::evaluate {

/// The best answer to each text of `prompts`, without the id that ends it. `limits`: per text, the most tokens (>= 1);
/// `ends`: the ids that end an answer. All beams of all texts share the continuation's cache; a text whose search is
/// over leaves it.
std::vector<std::vector<int64_t>> beam_search(Continuation& prompts, const std::vector<int64_t>& limits,
                                              const std::vector<int64_t>& ends, const GenerationOptions& options);

}  // namespace peftlab::evaluate
