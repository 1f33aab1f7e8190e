#pragma once

/// \file
/// What a BERT or RoBERTa config.json says, checked.

#include <peftlab/nn/activation.h>
#include <peftlab/params.h>
#include <peftlab/transformers_config.h>

#include <cstdint>
#include <string>

namespace peftlab::bert {

struct Config {
  TransformersConfig common;
  bool roberta = false;
  int64_t vocabulary = 0;
  int64_t positions = 0;       ///< rows of the table of positions
  int64_t first_position = 0;  ///< the row of a text's first token: 0, or after the row of padding (RoBERTa)
  int64_t types = 0;           ///< rows of the table of token types, of which the first is used
  int64_t hidden = 0;
  int64_t layers = 0;
  int64_t heads = 0;
  int64_t inner = 0;  ///< width between the two maps of the feed-forward network
  double eps = 0.0;
  Activation activation;
  double hidden_dropout = 0.0, attention_dropout = 0.0, classifier_dropout = 0.0;  ///< while training
  bool tied = true;  ///< the masked language head's weight is the table of words

  int64_t head_width() const { return hidden / heads; }
  int64_t max_length() const { return positions - first_position; }
  /// "bert" or "roberta": the model type, and what the stack's tensors begin with.
  std::string name() const { return roberta ? "roberta" : "bert"; }
};

/// Reads all keys. What is wrong is kept in `params`; then the result must not be built.
Config read_config(Params& params);

}  // namespace peftlab::bert
