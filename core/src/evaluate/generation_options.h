#pragma once

/// \file
/// How answers are generated. Names, defaults and meanings are those of transformers' GenerationConfig.

#include <cstdint>

namespace peftlab::evaluate {

/// When the search for beams of one example ends.
enum class EarlyStopping {
  no,     ///< once no open beam, scored at its present length, is better than the worst of the finished
  yes,    ///< once as many have finished as there are beams
  never,  ///< once none can become better: with a positive length penalty, scored at the greatest length there may be
};

struct GenerationOptions {
  int64_t max_new_tokens = 32;
  int64_t min_new_tokens = 0;        ///< no end of sequence before so many tokens
  bool sample = false;               ///< false: the likeliest token (greedy), or the likeliest beams
  double temperature = 1.0;          ///< > 0; sampling only
  int64_t top_k = 0;                 ///< sample among the k likeliest; 0: all
  double top_p = 1.0;                ///< and among the fewest whose probabilities reach p
  double repetition_penalty = 1.0;   ///< logits of tokens seen are divided (positive) or multiplied by it (CTRL, 2019)
  int64_t no_repeat_ngram_size = 0;  ///< no run of so many tokens comes twice, the prompt counted; 0: any may
  int64_t num_beams = 1;             ///< 1: no beam search; not with `sample`
  double length_penalty = 1.0;       ///< a finished beam's score is log p / (tokens made) ^ length_penalty
  EarlyStopping early_stopping = EarlyStopping::no;
  int64_t batch_size = 32;  ///< examples answered at once
  uint64_t seed = 0;        ///< of the draws; each example has a stream of its own
};

}  // namespace peftlab::evaluate
