#pragma once

/// \file
/// The update of one linear map, and how important its parts have been.

#include <peftlab/nn/linear.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <memory>
#include <string>
#include <vector>

namespace peftlab::adalora {

/// A trained tensor and the running means of how much the loss depends on each of its entries, of its shape. The means
/// are buffers: they are kept for resuming.
struct Weight {
  torch::Tensor value;
  torch::Tensor sensitivity;  ///< of |w g|, g being the gradient
  torch::Tensor uncertainty;  ///< of how far |w g| is from `sensitivity`
};

/// s B diag(E) A beside a frozen map, s = alpha / (r + 1e-5). A triplet is a row of A, an entry of E and a column of B.
/// All numbers are float32 whatever the base's type.
class Branch : public torch::nn::Module {
 public:
  /// A and B normal with deviation 0.02, E zero.
  Branch(Linear& site, int64_t rank, double alpha, double dropout);

  /// x [..., in] -> [..., out], in the type that `next` answers in.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) const;

  /// |A A^T - I| + |B^T B - I|, Frobenius norms; a scalar.
  torch::Tensor distance_to_orthogonal() const;

  /// Takes the present gradients into the running means. A tensor without a gradient had no influence on the loss.
  void measure(double beta1, double beta2);
  /// How important each triplet has been, [r].
  torch::Tensor scores() const;
  /// Keeps the triplets where `chosen` [r] is true, and prunes the others.
  void choose(const torch::Tensor& chosen);
  /// Sets E to zero again where triplets are not kept: the optimizer moves it on by its means of old gradients.
  void prune();
  /// The triplets that add something or may still, [r] of booleans.
  torch::Tensor alive() const;

  /// Folds the update into the site's weight, and takes it out again.
  void merge();
  void unmerge();
  bool merged() const { return merged_; }

  Linear& site;
  double weight = 1.0;  ///< the update counts this often
  Weight a, e, b;       ///< [r, in], [r, 1], [out, r]
  torch::Tensor kept;   ///< [r] of booleans, a buffer

 private:
  Weight add(const std::string& name, const torch::Tensor& first);
  double scale() const { return weight * scale_; }
  const double scale_, dropout_;
  bool merged_ = false;
  Linear::Weight before_merge_;  ///< the site's weight, while the update is folded into it
};

using Branches = std::vector<std::shared_ptr<Branch>>;

}  // namespace peftlab::adalora
