#pragma once

/// \file
/// AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) as PyTorch computes it, over one list of tensors.

#include "train/optimizer.h"

#include <vector>

namespace peftlab::train {

/// Both moments in memory, of the shape and type of their parameter.
class AdamW final : public Optimizer {
 public:
  AdamW(const TensorMap& parameters, const Options& options);

  TensorMap state() const override;

 private:
  void update(double learning_rate, double gradient_factor) override;

  /// Parameters that share weight decay and the factor on the learning rate: those that one call may update.
  struct Group {
    double weight_decay, rate_factor;
    std::vector<size_t> slots;
  };

  std::vector<torch::Tensor> first_, second_;  ///< by slot
  std::vector<Group> groups_;
};

}  // namespace peftlab::train
