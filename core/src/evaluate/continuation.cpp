#include "evaluate/continuation.h"

#include <peftlab/nn/to_device.h>

namespace peftlab::evaluate {

Continuation::Continuation(Model& model, torch::Device device, const Batch& prompts,
                           std::vector<std::vector<int64_t>> texts, int64_t room)
    : model_(model), device_(device), cache_(room), texts_(std::move(texts)) {
  std::vector<int64_t> last;
  for (int64_t s = 0; s < prompts.layout.sequences(); ++s) last.push_back(prompts.layout.offsets[s + 1] - 1);
  rows_ = model.hidden_at(prompts, torch::tensor(last, torch::kInt64), &cache_);
}

torch::Tensor Continuation::logits() { return model_.head(rows_).to(torch::kFloat32); }

void Continuation::reorder(const std::vector<int64_t>& kept) {
  bool same = kept.size() == texts_.size();
  for (size_t i = 0; same && i < kept.size(); ++i) same = kept[i] == static_cast<int64_t>(i);
  if (same) return;
  cache_.select(torch::tensor(kept, torch::kInt64));
  std::vector<std::vector<int64_t>> texts;
  for (const int64_t i : kept) texts.push_back(texts_[i]);
  texts_ = std::move(texts);
}

void Continuation::keep(const std::vector<int64_t>& kept) {
  reorder(kept);
  rows_ = rows_.index_select(0, to_device(torch::tensor(kept, torch::kInt64), device_));
}

void Continuation::go_on(const std::vector<int64_t>& kept, const std::vector<int64_t>& next) {
  reorder(kept);
  std::vector<Encoded> steps;
  for (size_t i = 0; i < next.size(); ++i) {
    texts_[i].push_back(next[i]);
    steps.push_back({{next[i]}, {kNoLabel}, 0, -1});
  }
  rows_ = model_.hidden(pack(steps).to(device_), &cache_);
}

}  // namespace peftlab::evaluate
