#pragma once

/// \file
/// AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) as PyTorch computes it, over one list of tensors.

#include <peftlab/model.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace peftlab::train {

/// Whether weight decay applies to a parameter, named as in Session::trained(): not to biases and the norms of the base.
bool decays(const std::string& name, const torch::Tensor& parameter);

/// The optimizer and its state. Parameters keep the order of their names, so that state can be written and read.
class AdamW {
 public:
  struct Options {
    double weight_decay = 0.0;
    double beta1 = 0.9;
    double beta2 = 0.999;
    double epsilon = 1e-8;
    /// By parameter, what its learning rate is multiplied with; 1 for those that are not there.
    std::map<std::string, double> rate_factors = {};
  };

  AdamW(const TensorMap& parameters, const Options& options);

  /// One update with the gradients there are now; a parameter without one stays as it is.
  void step(double learning_rate);
  void zero_gradients();

  /// First and second moments and the step count of every parameter: "<name>/m", "<name>/v", "<name>/t".
  TensorMap state() const;
  /// Throws: FormatError if it is not the state of these parameters.
  void load_state(const TensorMap& state);

  int64_t state_bytes() const;

 private:
  /// Parameters that share weight decay and the factor on the learning rate.
  struct Group {
    double weight_decay, rate_factor;
    std::vector<std::string> names;
    std::vector<torch::Tensor> parameters, first, second, steps;
  };

  Group& group_of(double weight_decay, double rate_factor);

  Options options_;
  std::vector<Group> groups_;
};

/// Scales the gradients so that their common 2-norm is at most `limit` (torch.nn.utils.clip_grad_norm_: the factor is
/// limit / (norm + 1e-6), at most 1) and returns the norm before. limit 0: only the norm is computed.
double clip_gradients(const TensorMap& parameters, double limit);

}  // namespace peftlab::train
