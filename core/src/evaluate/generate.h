#pragma once

/// \file
/// Answers, one token at a time, with a key/value cache.

#include "attach/session.h"
#include "train/feed.h"

#include <cstdint>
#include <string>
#include <vector>

namespace peftlab::evaluate {

/// How the next token is chosen.
struct GenerationOptions {
  int64_t max_new_tokens = 32;
  bool sample = false;        ///< false: the likeliest token (greedy)
  double temperature = 1.0;   ///< > 0; sampling only
  int64_t top_k = 0;          ///< sample among the k likeliest; 0: all
  double top_p = 1.0;         ///< and among the fewest whose probabilities reach p
  double repetition_penalty = 1.0;  ///< logits of tokens seen are divided (positive) or multiplied by it (CTRL, 2019)
  int64_t batch_size = 32;
  uint64_t seed = 0;
};

/// The ids each example of `prompts` (a Feed without targets) is answered with, the end-of-sequence id not included.
std::vector<std::vector<int64_t>> generate(attach::Session& session, train::Feed& prompts,
                                           const GenerationOptions& options);

/// One row of logits -> the next id. Exposed for its tests. `seen`: the ids so far, for the repetition penalty.
int64_t choose(const torch::Tensor& logits, const GenerationOptions& options, const std::vector<int64_t>& seen,
               torch::Generator& generator);

}  // namespace peftlab::evaluate
