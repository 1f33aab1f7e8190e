#pragma once

/// \file
/// Answers, one token at a time, with a key/value cache.

#include "attach/session.h"
#include "evaluate/generation_options.h"
#include "train/feed.h"

#include <cstdint>
#include <vector>

namespace peftlab::evaluate {

/// The ids each example of `prompts` (a Feed without targets) is answered with, the end-of-sequence id not included.
/// An answer ends where the model holds no more tokens: prompt, virtual tokens and answer together fill max_length.
/// Throws: ConfigError for options out of range, or beams that are to be sampled.
std::vector<std::vector<int64_t>> generate(attach::Session& session, train::Feed& prompts,
                                           const GenerationOptions& options);

}  // namespace peftlab::evaluate
