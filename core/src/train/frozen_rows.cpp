#include "train/frozen_rows.h"

#include <ATen/Context.h>

#include <algorithm>
#include <mutex>
#include <numeric>

namespace peftlab::train {
namespace {

constexpr int64_t kLimit = int64_t{1} << 30;  // bytes of rows that are kept
constexpr double kSame =
    0.02;  // how far, in length, rows of one example may be apart for the rounding of other batches

/// Whether a method put something of its own anywhere in the model.
bool is_extended(Model& model) {
  for (const Linear* site : model.linear_sites()) {
    if (site->extended()) return true;
  }
  for (const Sublayer* site : model.sublayer_sites()) {
    if (site->extended()) return true;
  }
  for (const AttentionSite* site : model.attention_sites()) {
    if (site->prefix_tokens() > 0) return true;
  }
  return model.embedding_site().virtual_tokens() > 0;
}

torch::Tensor drawn_so_far(torch::Device device) {
  at::Generator generator = at::globalContext().defaultGenerator(device);
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

}  // namespace

std::unique_ptr<FrozenRows> FrozenRows::where_possible(Model& model, Feed& feed, int64_t group_size) {
  if (is_extended(model)) return nullptr;
  std::unique_ptr<FrozenRows> frozen(new FrozenRows(model, feed, group_size));
  const std::vector<int64_t> group(frozen->order_.begin(),
                                   frozen->order_.begin() + std::min<int64_t>(group_size, feed.size()));
  const torch::Device device = feed.batch({group.front()}).tokens.device();
  const torch::Tensor before = drawn_so_far(device);
  const torch::Tensor together = frozen->computed(group);
  if (together.requires_grad() || !torch::equal(before, drawn_so_far(device))) return nullptr;

  const int64_t all = std::accumulate(frozen->order_.begin(), frozen->order_.end(), int64_t{0},
                                      [&](int64_t sum, int64_t example) { return sum + feed.labelled(example); });
  if (all * together.size(1) * static_cast<int64_t>(together.element_size()) > kLimit) return nullptr;

  const torch::Tensor alone = frozen->computed({group.front()}).to(torch::kFloat64);
  const torch::Tensor among = together.slice(0, 0, alone.size(0)).to(torch::kFloat64);
  if ((alone - among).norm().item<double>() > kSame * among.norm().item<double>()) return nullptr;

  frozen->rows_ = torch::empty({all, together.size(1)}, together.options());
  return frozen;
}

FrozenRows::FrozenRows(Model& model, Feed& feed, int64_t group_size)
    : model_(model),
      feed_(feed),
      group_size_(group_size),
      order_(feed.size()),
      place_(feed.size()),
      first_(feed.size()) {
  std::iota(order_.begin(), order_.end(), int64_t{0});
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int64_t a, int64_t b) { return feed.encoded(a).tokens.size() < feed.encoded(b).tokens.size(); });
  int64_t row = 0;
  for (int64_t i = 0; i < feed.size(); ++i) {
    place_[order_[i]] = i;
    first_[order_[i]] = row;
    row += feed.labelled(order_[i]);
  }
  made_.resize((feed.size() + group_size - 1) / group_size);
}

torch::Tensor FrozenRows::computed(const std::vector<int64_t>& examples) {
  const Batch batch = feed_.batch(examples);
  return model_.hidden_at(batch, torch::nonzero(batch.labels != kNoLabel).squeeze(1));
}

void FrozenRows::make(int64_t group) {
  const torch::NoGradGuard no_grad;
  const auto begin = order_.begin() + group * group_size_;
  const auto end = order_.begin() + std::min<int64_t>((group + 1) * group_size_, feed_.size());
  const torch::Tensor rows = computed({begin, end});
  rows_.narrow(0, first_[*begin], rows.size(0)).copy_(rows);
  made_[group] = true;
}

FrozenRows::Labelled FrozenRows::of(const std::vector<int64_t>& examples) {
  std::vector<int64_t> wanted, labels;
  for (const int64_t example : examples) {
    const int64_t group = place_[example] / group_size_;
    if (!made_[group]) make(group);
    for (int64_t i = 0; i < feed_.labelled(example); ++i) wanted.push_back(first_[example] + i);
    for (const int64_t label : feed_.encoded(example).labels) {
      if (label != kNoLabel) labels.push_back(label);
    }
  }
  const auto on_device = [&](const std::vector<int64_t>& numbers) {
    return torch::tensor(numbers, torch::kInt64).to(rows_.device());
  };
  return {rows_.index_select(0, on_device(wanted)), on_device(labels)};
}

}  // namespace peftlab::train
