#pragma once

/// \file
/// Texts that a model has read and is to continue: their ids, and one cache for all of them.

#include <peftlab/batch.h>
#include <peftlab/model.h>

#include <cstdint>
#include <vector>

namespace peftlab::evaluate {

class Continuation {
 public:
  /// Reads the prompts. `texts`: their ids, sequence by sequence; `room`: how many tokens may follow.
  Continuation(Model& model, torch::Device device, const Batch& prompts, std::vector<std::vector<int64_t>> texts,
               int64_t room);

  /// Logits of the next token of each sequence: float32 [sequences, vocabulary] on the model's device.
  torch::Tensor logits();
  /// Keeps sequences `kept` (repeats allowed), in that order, without new tokens.
  void keep(const std::vector<int64_t>& kept);
  /// Keeps sequences `kept` and reads `next`, one id for each of them.
  void go_on(const std::vector<int64_t>& kept, const std::vector<int64_t>& next);

  /// The ids of each sequence, the prompt's and those read since.
  const std::vector<std::vector<int64_t>>& texts() const { return texts_; }

 private:
  /// Gives texts and cache the order `kept`, unless it is the one they have.
  void reorder(const std::vector<int64_t>& kept);

  Model& model_;
  torch::Device device_;
  KeyValueCache cache_;
  torch::Tensor rows_;  ///< [sequences, hidden]: the last row of each
  std::vector<std::vector<int64_t>> texts_;
};

}  // namespace peftlab::evaluate
