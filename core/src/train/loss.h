#pragma once

/// \file
/// Cross entropy over labelled positions only, and the arithmetic it is computed in.

#include <peftlab/batch.h>
#include <peftlab/model.h>

#include <string>

namespace peftlab::train {

/// While it lives, matrix products run in a lower precision as torch.autocast does: "bf16", "fp16"; "fp32" does nothing.
class Autocast {
 public:
  Autocast(const std::string& precision, torch::Device device);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  torch::DeviceType type_;
  bool on_;
};

/// -log p of every labelled position of the batch, float32 [labelled], in the batch's order. The head is asked for
/// those rows only.
torch::Tensor token_losses(Model& model, const Batch& batch);

/// The same for hidden states [rows, hidden] and the label of each row.
torch::Tensor losses_of_rows(Model& model, const torch::Tensor& rows, const torch::Tensor& labels);

}  // namespace peftlab::train
