#include "train/loss.h"

#include "api/pointwise.h"

#include <peftlab/nn/checkpointing.h>
#include <peftlab/nn/to_device.h>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>

#include <algorithm>
#include <optional>
#include <vector>

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

LabelledRows labelled_rows(Model& model, const Batch& batch) {
  const auto at = torch::nonzero(batch.labels != kNoLabel).squeeze(1);
  return {model.hidden_at(batch, at), to_device(batch.labels.index_select(0, at), batch.tokens.device())};
}

torch::Tensor losses_of(Model& model, const LabelledRows& labelled) {
  const auto& [rows, labels] = labelled;
  const ModelFacts& facts = model.facts();
  const int64_t classes = facts.labels.empty() ? facts.vocabulary : static_cast<int64_t>(facts.labels.size());
  const int64_t n = rows.size(0), row_bytes = 4 * std::max<int64_t>(1, classes);
  // A multiple of what products take at once. The same with and without a Checkpointing, and so are the losses.
  const int64_t at_once = std::max<int64_t>(32, kLogitsAtOnce / row_bytes / 32 * 32);
  if (n <= at_once) return row_losses(model.head(rows), labels);

  std::optional<Checkpointing> again;
  if (n * row_bytes > kLogitsKept) again.emplace();
  std::vector<torch::Tensor> losses;
  for (int64_t first = 0; first < n; first += at_once) {
    const int64_t some = std::min(at_once, n - first);
    losses.push_back(checkpointed(rows.narrow(0, first, some),
                                  [&model, of = labels.narrow(0, first, some)](const torch::Tensor& piece) {
                                    return row_losses(model.head(piece), of);
                                  }));
  }
  return torch::cat(losses);
}

torch::Tensor token_losses(Model& model, const Batch& batch) { return losses_of(model, labelled_rows(model, batch)); }

}  // namespace peftlab::train
