#pragma once

/// \file
/// AdamW with moments of 8 bits a number (Dettmers et al., 2022, "8-bit Optimizers via Block-wise Quantization",
/// arXiv:2110.02861), as AdamW8bit of bitsandbytes 0.50.2.

#include "train/optimizer.h"

#include <vector>

namespace peftlab::train {

/// The moments of a parameter with at least 4,096 numbers are codes, uint8 [numbers], in blocks of 256 with a float32
/// scale each ("<name>/m_absmax", "<name>/v_absmax"): the first in the signed dynamic code, the second in the unsigned
/// one. Smaller parameters keep float32 moments.
///
/// A step makes the moments float32, a few blocks at a time, and then
///
///     m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2        w = w (1 - rate decay)
///     w = w - rate / (1 - b1^t)  m / (sqrt(v) / sqrt(1 - b2^t) + epsilon)
///
/// with the moments as they are before they become codes again. On a GPU the same is done with a whole parameter, by
/// LibTorch's operations. That is bitsandbytes' CPU code, in its order, and so
/// is the rule for codes: the nearest to the number rounded to 16 bits (Nearest::kBitsandbytesCpu). The states are
/// its own, bit for bit. A 0 beside other numbers becomes 1.6e-5 of the block's largest second moment, and 2.1e-5 of
/// its largest first one. Its CUDA code takes the exact nearest instead, which for a second moment below 1.6e-7 of
/// the largest is 0: where the next gradient is smaller still, a step is then thousands of times the rate. It also
/// decays after the update, and lets a negative first moment that became 0 be the code below.
class AdamW8bit final : public Optimizer {
 public:
  AdamW8bit(const TensorMap& parameters, const Options& options);

  TensorMap state() const override;

 private:
  void update(double learning_rate, double gradient_factor) override;

  /// Of one parameter: codes with scales, or float32 moments [numbers] and no scales.
  struct Moments {
    torch::Tensor first, second, first_absmax, second_absmax;
  };
  /// The constants of one parameter's step.
  struct Rule {
    double rate, decay, correction1, correction2;
  };

  void update(const Rule& rule, const torch::Tensor& parameter, const torch::Tensor& gradient,
              const torch::Tensor& first, const torch::Tensor& second) const;
  void update_codes(const Rule& rule, const torch::Tensor& parameter, const torch::Tensor& gradient, Moments& moments);

  std::vector<Moments> moments_;          ///< by slot
  torch::Tensor first_run_, second_run_;  ///< float32 [kRun]: the blocks at work
};

}  // namespace peftlab::train
