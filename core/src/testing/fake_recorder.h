#pragma once

/// \file
/// A recorder for machines without a GPU: a recording computes its pass again, into the tensors it gave at first.

#include "train/graphed_steps.h"

#include <torch/torch.h>

namespace peftlab::testing {

class FakeRecording final : public train::RecordedPass {
 public:
  explicit FakeRecording(std::function<train::PassOutputs()> pass) : pass_(std::move(pass)), outputs_(pass_()) {
    // What a graph was recorded with is not computed yet.
    for (const auto& output : outputs_) {
      if (output.defined()) output.fill_(std::numeric_limits<double>::quiet_NaN());
    }
  }
  void replay() override {
    const auto found = pass_();
    const torch::NoGradGuard no_grad;
    for (size_t i = 0; i < found.size(); ++i) {
      if (found[i].defined()) outputs_[i].copy_(found[i]);
    }
  }
  const train::PassOutputs& outputs() const override { return outputs_; }

 private:
  std::function<train::PassOutputs()> pass_;
  train::PassOutputs outputs_;
};

inline std::unique_ptr<train::RecordedPass> fake_recording(const std::function<train::PassOutputs()>& pass) {
  return std::make_unique<FakeRecording>(pass);
}

}  // namespace peftlab::testing
