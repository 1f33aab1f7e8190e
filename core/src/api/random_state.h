#pragma once

/// \file
/// Where random numbers come from, so that the same ones can be drawn again.

#include <peftlab/export.h>

#include <ATen/core/Generator.h>
#include <torch/types.h>

#include <utility>
#include <vector>

namespace peftlab {

/// The generators that work on `device` draws from, as they were when it was made.
class PEFTLAB_API RandomState {
 public:
  explicit RandomState(torch::Device device);
  void restore() const;

 private:
  void remember(torch::Device device);

  std::vector<std::pair<at::Generator, torch::Tensor>> states_;
};

}  // namespace peftlab
