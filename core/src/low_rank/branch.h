#pragma once

/// \file
/// The trained update of one linear map.

#include "low_rank/options.h"

#include <peftlab/nn/linear.h>

#include <torch/nn/module.h>
#include <torch/types.h>

#include <optional>
#include <string>

namespace peftlab::low_rank {

struct Branch : torch::nn::Module {
  /// Draws first values from torch's generator as peft does; nothing is hooked onto the site yet.
  /// Throws: ConfigError if the weight has fewer singular directions than `init` = "pissa" is to take.
  Branch(Linear& site, const Options& options, int64_t rank, double alpha);

  /// x [..., in] -> [..., out], in the type that `next` answers in.
  torch::Tensor forward(const torch::Tensor& x, const Linear::Map& next) const;

  /// s (B A + B' A'), [out, in], without what DoRA stretches.
  torch::Tensor update() const;
  /// Its rows [first, first + rows).
  torch::Tensor update(int64_t first, int64_t rows) const;

  /// Throws: UnsupportedError if merge() is not possible; nothing is changed.
  void check_merge() const;
  /// Gives the site a weight with the update folded in, and sets the old one aside.
  void merge();
  /// Throws: UnsupportedError if unmerge() is not possible; nothing is changed.
  void check_unmerge() const;
  /// Gives the site the very tensor back that it had.
  void unmerge();
  bool merged() const { return merged_; }

  /// A and B as a file holds them, [rank, in] and [out, rank]: those that are trained above those that are not.
  torch::Tensor whole_a() const;
  torch::Tensor whole_b() const;
  /// The other way round.
  void take(const torch::Tensor& whole_a, const torch::Tensor& whole_b);

  Linear& site;
  double scale;                      ///< s, without `times`
  double times = 1.0;                ///< how often the update counts
  torch::Tensor a, b;                ///< trained: [r, in], [out, r]
  torch::Tensor frozen_a, frozen_b;  ///< A' and B', not trained, of the same shapes; undefined where there are none
  torch::Tensor magnitude;           ///< m of DoRA, [out]; else undefined

 private:
  void start_at_principal_directions();
  torch::Tensor lengths() const;
  torch::Tensor stretch() const;

  double dropout_;
  bool shares_site_;  ///< another method extended the site before
  bool merged_ = false;
  Linear::Weight at_start_;  ///< of DoRA: the site's weight when this was put on it
  Linear::Weight before_;    ///< the site's weight as it was before merge()
  Linear::Weight after_;     ///< the same, as merge() left it
};

}  // namespace peftlab::low_rank
