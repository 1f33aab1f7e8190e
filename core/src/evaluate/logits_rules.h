#pragma once

/// \file
/// What options make of the logits before a token is chosen, by the rules and in the order of transformers 4.57.

#include "evaluate/generation_options.h"

#include <torch/types.h>

#include <cstdint>
#include <vector>

namespace peftlab::evaluate {

/// The next tokens' scores (logits, or log-probabilities of beams), float32 [rows, vocabulary], after the repetition
/// penalty, the ban of repeated n-grams, and the least length. `texts`: each row's ids so far, the prompt's included;
/// `made`: how many of them are the answer's; `ends`: the ids that end an answer.
torch::Tensor restrict_scores(torch::Tensor scores, const GenerationOptions& options,
                              const std::vector<std::vector<int64_t>>& texts, int64_t made,
                              const std::vector<int64_t>& ends);

/// The scores that are drawn from: after temperature, top_k and top_p. What is left out is -inf.
torch::Tensor warp_scores(torch::Tensor scores, const GenerationOptions& options);

}  // namespace peftlab::evaluate
