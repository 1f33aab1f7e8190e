#include "train/loss.h"

#include "api/pointwise.h"

#include <ATen/autocast_mode.h>

namespace peftlab::train {

Autocast::Autocast(const std::string& precision, torch::Device device)
    : type_(device.type()), on_(precision == "bf16" || precision == "fp16") {
  if (!on_) return;
  at::autocast::set_autocast_enabled(type_, true);
  at::autocast::set_autocast_dtype(type_, precision == "bf16" ? at::kBFloat16 : at::kHalf);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  if (!on_) return;
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(type_, false);
}

torch::Tensor losses_of_rows(Model& model, const torch::Tensor& rows, const torch::Tensor& labels) {
  return row_losses(model.head(rows), labels);
}

torch::Tensor token_losses(Model& model, const Batch& batch) {
  const auto at = torch::nonzero(batch.labels != kNoLabel).squeeze(1);
  return losses_of_rows(model, model.hidden_at(batch, at), batch.labels.index_select(0, at));
}

}  // namespace peftlab::train
