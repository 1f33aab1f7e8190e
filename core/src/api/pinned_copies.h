#pragma once

/// \file
/// What to_device() copied from while a CUDA graph was recorded: the graph copies from there again whenever it is launched.

#include <peftlab/export.h>

#include <torch/types.h>

#include <vector>

namespace peftlab {

/// While it lives, what to_device() pins on this thread is kept by it.
class PEFTLAB_API PinnedCopies {
 public:
  PinnedCopies();
  ~PinnedCopies();
  PinnedCopies(const PinnedCopies&) = delete;
  PinnedCopies& operator=(const PinnedCopies&) = delete;

  std::vector<torch::Tensor> take() { return std::move(kept_); }

 private:
  friend void keep_pinned(const torch::Tensor& pinned);

  std::vector<torch::Tensor> kept_;
  PinnedCopies* before_;
};

/// Tells the innermost PinnedCopies of this thread, if there is one.
void keep_pinned(const torch::Tensor& pinned);

}  // namespace peftlab
