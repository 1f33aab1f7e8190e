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

/// Hidden states [rows, hidden] and the label of each, int64 [rows].
struct LabelledRows {
  torch::Tensor rows, labels;
};

/// Those of every labelled position of the batch, in its order.
LabelledRows labelled_rows(Model& model, const Batch& batch);

/// The most bytes of logits, in float32, that are computed at once; and that are kept for the backward pass, which
/// computes them again where there would be more (or under a Checkpointing).
inline constexpr int64_t kLogitsAtOnce = int64_t{128} << 20;
inline constexpr int64_t kLogitsKept = int64_t{512} << 20;

/// -log p of the labels, float32 [rows]. The head is asked for these rows only, and for no more at once than kLogitsAtOnce
/// allows.
torch::Tensor losses_of(Model& model, const LabelledRows& labelled);

/// losses_of() labelled_rows().
torch::Tensor token_losses(Model& model, const Batch& batch);

}  // namespace peftlab::train
