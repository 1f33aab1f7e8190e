#pragma once

/// \file
/// What stands on the stack: BERT's and RoBERTa's heads for classes and for masked tokens, under the names of a
/// checkpoint's tensors.

#include "config.h"

#include <peftlab/nn/linear.h>
#include <peftlab/nn/norm.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <map>
#include <memory>
#include <string>

namespace peftlab::bert {

/// Rows of the stack -> logits.
class Head {
 public:
  virtual ~Head() = default;

  /// rows [n, hidden] -> [n, classes or vocabulary]. `words`: the table of words, [vocabulary, hidden].
  virtual torch::Tensor forward(const torch::Tensor& rows, const torch::Tensor& words, bool training) const = 0;

  /// As Model::tied().
  virtual std::map<std::string, std::string> tied() const { return {}; }
};

/// Registers the head of the configuration's task in `model` (BERT's pooler in its stack) and gives it; nullptr for the
/// stack alone.
std::unique_ptr<Head> make_head(const Config& config, torch::nn::Module& model, torch::nn::Module& stack);

}  // namespace peftlab::bert
