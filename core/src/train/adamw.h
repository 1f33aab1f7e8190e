#pragma once

/// \file
/// AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) as PyTorch computes it, over one list of tensors.

#include "train/flat_parameters.h"
#include "train/optimizer.h"

#include <vector>

namespace peftlab::train {

/// Both moments in memory, of the shape and type of their parameter. Small parameters and their moments lie side by side
/// (FlatParameters) and are updated as one tensor.
class AdamW final : public Optimizer {
 public:
  AdamW(const TensorMap& parameters, const Options& options);

  TensorMap state() const override;

 private:
  void update(double learning_rate, double gradient_factor) override;
  void loaded() override;

  /// Parameters that share weight decay and the factor on the learning rate: those that one call may update.
  struct Group {
    double weight_decay, rate_factor;
    std::vector<size_t> slots;
    FlatParameters flat;
    torch::Tensor first, second, steps;  ///< of the flat ones; of which the slots have parts
    bool goes_together = true;           ///< the flat ones: as long as all have made as many steps
    std::vector<size_t> apart;           ///< slots that are not flat
  };

  void add(Group group);
  /// Whether the flat ones could be updated as one tensor.
  bool update_together(Group& group, double learning_rate, double gradient_factor);
  void update_each(const Group& group, const std::vector<size_t>& slots, double learning_rate, double gradient_factor);
  /// LibTorch's operation on these tensors, which lie beside each other in the lists.
  struct Tensors {
    std::vector<torch::Tensor> parameters, gradients, first, second, steps;
  };
  void apply(const Group& group, const Tensors& tensors, double learning_rate, double gradient_factor) const;

  std::vector<torch::Tensor> first_, second_;  ///< by slot
  std::vector<Group> groups_;
};

}  // namespace peftlab::train
