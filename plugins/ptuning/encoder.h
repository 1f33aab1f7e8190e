#pragma once

/// \file
/// The networks that a prompt comes from while it is trained.

#include <peftlab/nn/embedding.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>

namespace peftlab::ptuning {

/// The form of an encoder. `layers` and `dropout` (between them) are the LSTM's.
struct EncoderShape {
  bool lstm = false;
  int64_t tokens = 0, width = 0, hidden = 0, layers = 2;
  double dropout = 0.0;
};

/// A table of vectors and a network that makes the prompt of them. Parameters are named, and first values drawn, as
/// Hugging Face peft's PromptEncoder has them: "embedding", "lstm_head", "mlp_head".
class Encoder : public torch::nn::Module {
 public:
  /// P [tokens, width].
  virtual torch::Tensor forward() = 0;

 protected:
  explicit Encoder(const EncoderShape& shape);

  std::shared_ptr<Embedding> table_;  ///< N(0, 1) at first, [tokens, width]
};

std::shared_ptr<Encoder> make_encoder(const EncoderShape& shape);

}  // namespace peftlab::ptuning
