#pragma once

/// \file
/// What a config.json of LLaMA, Mistral or Qwen2 says, checked.

#include "rotary.h"

#include <peftlab/nn/activation.h>
#include <peftlab/params.h>
#include <peftlab/transformers_config.h>

#include <cstdint>
#include <string>
#include <vector>

namespace peftlab::llama {

struct Config {
  std::string model_type;  ///< "llama", "mistral" or "qwen2"
  TransformersConfig common;
  int64_t vocabulary = 0;
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t kv_heads = 0;
  int64_t head_width = 0;
  int64_t inner = 0;          ///< width inside the feed-forward network
  int64_t max_positions = 0;  ///< the length that the model was made for, before any stretch
  double eps = 0.0;
  GatedActivation activation;
  double attention_dropout = 0.0;  ///< while training
  RotaryConfig rotary;
  std::vector<int64_t> windows;  ///< per layer: positions that a row sees, 0: all
  bool qkv_bias = false, output_bias = false, mlp_bias = false;
  bool tied = false;  ///< the head's weight is the table of words

  bool classifies() const { return common.task == Task::classification; }
};

/// Reads all keys. What is wrong is kept in `params`; then the result must not be built.
Config read_config(Params& params);

}  // namespace peftlab::llama
