#include "train/frozen_rows.h"

#include <peftlab/nn/to_device.h>

#include <ATen/Context.h>

#include <algorithm>
#include <mutex>
#include <numeric>

namespace peftlab::train {
namespace {

// How far, in length, rows of one example may be apart for the rounding of other batches.
constexpr double kSame = 0.02;

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

bool only_head_is_trained(Model& model) {
  if (is_extended(model)) return false;
  const TensorMap trained = model.trained_parameters();
  return std::all_of(trained.begin(), trained.end(), [&](const auto& item) {
    return item.first.starts_with(model.classification_head() + ".") ||
           item.first.starts_with(model.output_layer() + ".");
  });
}

std::unique_ptr<FrozenRows> FrozenRows::where_possible(Model& model, Feed& feed, int64_t group_size,
                                                       const std::function<bool()>& stop) {
  if (!only_head_is_trained(model)) return nullptr;
  std::unique_ptr<FrozenRows> frozen(new FrozenRows(model, feed, group_size));
  if (frozen->n_rows_ == 0) return nullptr;
  const std::vector<int64_t> group = frozen->group(0);
  const torch::Device device = feed.batch({group.front()}).tokens.device();
  const torch::Tensor before = drawn_so_far(device);
  const torch::Tensor together = frozen->computed(group);
  if (together.requires_grad() || !torch::equal(before, drawn_so_far(device))) return nullptr;

  const torch::Tensor alone = frozen->computed({group.front()}).to(torch::kFloat64);
  const torch::Tensor among = together.slice(0, 0, alone.size(0)).to(torch::kFloat64);
  if ((alone - among).norm().item<double>() > kSame * among.norm().item<double>()) return nullptr;

  const torch::NoGradGuard no_grad;
  const torch::Tensor rows =
      feed.shared().of(frozen->made_from(), {.rows = frozen->n_rows_,
                                             .first = [&] { return frozen->computed(group).to(torch::kCPU); },
                                             .all = [&](const auto& first) { return frozen->compute_all(first, stop); },
                                             .stop = stop});
  if (!rows.defined()) return nullptr;
  frozen->rows_ = rows.to(device);
  return frozen;
}

FrozenRows::FrozenRows(Model& model, Feed& feed, int64_t group_size)
    : model_(model), feed_(feed), group_size_(group_size), order_(feed.size()), first_(feed.size()) {
  std::iota(order_.begin(), order_.end(), int64_t{0});
  std::stable_sort(order_.begin(), order_.end(),
                   [&](int64_t a, int64_t b) { return feed.encoded(a).tokens.size() < feed.encoded(b).tokens.size(); });
  for (const int64_t example : order_) {
    first_[example] = n_rows_;
    n_rows_ += feed.labelled(example);
  }
}

std::vector<int64_t> FrozenRows::group(int64_t number) const {
  const auto begin = order_.begin() + number * group_size_;
  return {begin, order_.begin() + std::min<int64_t>((number + 1) * group_size_, feed_.size())};
}

torch::Tensor FrozenRows::computed(const std::vector<int64_t>& examples) {
  const Batch batch = feed_.batch(examples);
  return model_.hidden_at(batch, torch::nonzero(batch.labels != kNoLabel).squeeze(1));
}

torch::Tensor FrozenRows::compute_all(const torch::Tensor& first, const std::function<bool()>& stop) {
  const torch::Tensor all = torch::empty({n_rows_, first.size(1)}, first.options());
  all.narrow(0, 0, first.size(0)).copy_(first);
  for (int64_t number = 1; number * group_size_ < feed_.size(); ++number) {
    if (stop && stop()) throw Stopped();
    const std::vector<int64_t> examples = group(number);
    const torch::Tensor rows = computed(examples);
    all.narrow(0, first_[examples.front()], rows.size(0)).copy_(rows);
  }
  return all;
}

Table FrozenRows::made_from() const {
  return {{"features", "rows under the head"},
          {"examples", feed_.sha256()},
          {"examples_together", group_size_},
          {"weights", weights_in_force(model_, "")}};
}

LabelledRows FrozenRows::of(const std::vector<int64_t>& examples) {
  std::vector<int64_t> wanted, labels;
  for (const int64_t example : examples) {
    for (int64_t i = 0; i < feed_.labelled(example); ++i) wanted.push_back(first_[example] + i);
    for (const int64_t label : feed_.encoded(example).labels) {
      if (label != kNoLabel) labels.push_back(label);
    }
  }
  const auto on_device = [&](const std::vector<int64_t>& numbers) {
    return to_device(torch::tensor(numbers, torch::kInt64), rows_.device());
  };
  return {rows_.index_select(0, on_device(wanted)), on_device(labels)};
}

}  // namespace peftlab::train
