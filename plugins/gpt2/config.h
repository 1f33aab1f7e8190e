#pragma once

/// \file
/// What a GPT-2 config.json says, checked.

#include <peftlab/nn/activation.h>
#include <peftlab/params.h>
#include <peftlab/transformers_config.h>

#include <cstdint>

namespace peftlab::gpt2 {

struct Config {
  TransformersConfig common;
  int64_t vocabulary = 0;
  int64_t positions = 0;  ///< rows of the table of positions: the longest sequence
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t inner = 0;  ///< width between the two maps of the feed-forward network
  double eps = 0.0;
  Activation activation;
  double embedding_dropout = 0.0, residual_dropout = 0.0, attention_dropout = 0.0;  ///< while training
  bool scaled = true;     ///< attention divides by sqrt(head width)
  bool by_layer = false;  ///< ... and by the layer's number, from 1
  bool tied = true;       ///< the head's weight is the table of words

  int64_t head_width() const { return hidden / heads; }
  bool classifies() const { return common.task == Task::classification; }
};

/// Reads all keys. What is wrong is kept in `params`; then the result must not be built.
Config read_config(Params& params);

}  // namespace peftlab::gpt2
