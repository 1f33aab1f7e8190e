#pragma once

/// \file
/// The networks that a deep prompt may come from while it is trained.

#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace peftlab::ptuning_v2 {

/// A small table of vectors and a network that makes the prompt of them.
class Encoder : public torch::nn::Module {
 public:
  /// `width`: of the table. First values: the table N(0, 1), all else as torch draws it.
  Encoder(int64_t tokens, int64_t width);

  /// P [tokens, columns].
  virtual torch::Tensor forward() = 0;

 protected:
  torch::Tensor table_;  ///< [tokens, width]
};

/// What an encoder is made of: `hidden` is the width inside it, `columns` that of P.
struct EncoderSizes {
  int64_t tokens = 0, width = 0, hidden = 0, columns = 0;
};

/// "mlp", "lstm", "transformer".
const std::vector<std::string>& encoder_names();
std::shared_ptr<Encoder> make_encoder(const std::string& name, const EncoderSizes& sizes);

}  // namespace peftlab::ptuning_v2
