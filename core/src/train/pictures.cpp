#include "train/pictures.h"

#include <peftlab/nn/to_device.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <deque>
#include <iterator>

namespace peftlab::train {
namespace {

// Pictures that the front is given at once; features depend on it. The small VisualGLM of experiments/ takes a tenth longer
// for groups of 8, and the same for 16 and 32. A run that finds features there computes one group all the same.
constexpr int64_t kTogether = 16;
constexpr int64_t kMostDecoding = 8;  // groups, each in a thread of its own

}  // namespace

void Pictures::list(std::vector<int64_t> examples, int64_t size) {
  examples_ = std::move(examples);
  row_of_.assign(static_cast<size_t>(size), -1);
  for (size_t i = 0; i < examples_.size(); ++i) row_of_[examples_[i]] = static_cast<int64_t>(i);
  take_groups(cut(examples_, kTogether));
}

Pictures::Groups Pictures::cut(const std::vector<int64_t>& examples, int64_t size) const {
  Groups groups;
  for (size_t begin = 0; begin < examples.size(); begin += static_cast<size_t>(size)) {
    std::vector<int64_t> group;
    for (size_t i = begin; i < std::min(examples.size(), begin + static_cast<size_t>(size)); ++i) {
      if (row_of_[examples[i]] >= 0) group.push_back(examples[i]);
    }
    if (!group.empty()) groups.push_back(std::move(group));
  }
  return groups;
}

void Pictures::take_groups(Groups groups) {
  groups_ = std::move(groups);
  group_of_.assign(row_of_.size(), -1);
  features_.clear();
  for (size_t i = 0; i < groups_.size(); ++i) {
    for (const int64_t example : groups_[i]) group_of_[example] = static_cast<int64_t>(i);
  }
}

void Pictures::group(const std::vector<int64_t>& order, int64_t size) {
  is_settled_ = true;
  take_groups(cut(order, size));
}

bool Pictures::make_all(const SharedFeatures& shared, const std::function<bool()>& stop) {
  is_settled_ = true;
  if (examples_.empty() || all_.defined() || keeps_features_ == false || !model_.front_is_frozen()) {
    return all_.defined();
  }
  const Groups groups = cut(examples_, kTogether);
  const Table made_from = {{"features", "pictures"},
                           {"pictures", sha256_of(examples_)},
                           {"pictures_together", kTogether},
                           {"weights", weights_in_force(model_, model_.front_prefix())}};
  all_ = shared.of(made_from, {.rows = static_cast<int64_t>(examples_.size()),
                               .first = [&] { return features(load(groups.front())); },
                               .all = [&](const auto& first) { return compute_all(groups, first, stop); },
                               .stop = stop});
  keeps_features_ = all_.defined();
  return all_.defined();
}

torch::Tensor Pictures::compute_all(const Groups& groups, const torch::Tensor& first,
                                    const std::function<bool()>& stop) {
  std::vector<int64_t> sizes = first.sizes().vec();
  sizes[0] = static_cast<int64_t>(examples_.size());
  const torch::Tensor all = torch::empty(sizes, first.options());
  all.narrow(0, 0, first.size(0)).copy_(first);

  // As many groups are decoded in the background as the run has threads: a front on a CPU leaves most of them idle, one on
  // a GPU waits for them.
  const auto decoding = static_cast<size_t>(std::clamp<int64_t>(at::get_num_threads(), 1, kMostDecoding));
  std::deque<std::future<std::vector<torch::Tensor>>> coming;
  size_t next = 1;
  int64_t row = first.size(0);
  while (row < sizes[0]) {
    for (; next < groups.size() && coming.size() < decoding; ++next) {
      coming.push_back(std::async(std::launch::async, [this, &group = groups[next]] { return load(group); }));
    }
    if (stop && stop()) throw Stopped();
    const torch::Tensor made = features(coming.front().get());
    coming.pop_front();
    all.narrow(0, row, made.size(0)).copy_(made);
    row += made.size(0);
  }
  return all;
}

std::vector<torch::Tensor> Pictures::load(const std::vector<int64_t>& indices) const {
  std::vector<torch::Tensor> images;
  for (const int64_t index : indices) images.push_back(data_.image(index));
  return images;
}

torch::Tensor Pictures::features(const std::vector<torch::Tensor>& images) {
  const torch::NoGradGuard no_grad;
  return model_.front(to_device(torch::stack(images), device_)).to(torch::kCPU);
}

bool Pictures::keeps_features() {
  if (keeps_features_ || groups_.empty()) return keeps_features_.value_or(false);
  const auto bytes = static_cast<int64_t>(features(load({groups_.front().front()})).nbytes());
  keeps_features_ = bytes <= kMostKept / static_cast<int64_t>(examples_.size());
  return *keeps_features_;
}

std::vector<int64_t> Pictures::missing_groups(const std::vector<int64_t>& pictured) const {
  std::vector<int64_t> found;
  for (const int64_t index : pictured) {
    const int64_t group = group_of_[index];
    if (!features_.count(index) && std::find(found.begin(), found.end(), group) == found.end()) found.push_back(group);
  }
  return found;
}

std::vector<int64_t> Pictures::to_decode(const std::vector<int64_t>& pictured) {
  if (all_.defined()) return {};
  if (!model_.front_is_frozen() || !keeps_features()) return pictured;
  std::vector<int64_t> found;
  for (const int64_t group : missing_groups(pictured)) {
    found.insert(found.end(), groups_[group].begin(), groups_[group].end());
  }
  return found;
}

void Pictures::prefetch(const std::vector<int64_t>& pictured) {
  Prefetched next;
  if (!pictured.empty()) next.indices = to_decode(pictured);
  if (!next.indices.empty()) {
    next.images = std::async(std::launch::async, [this, wanted = next.indices] { return load(wanted); });
  }
  ahead_ = std::move(next);
}

std::vector<torch::Tensor> Pictures::decoded(const std::vector<int64_t>& indices) {
  if (indices.empty()) return {};
  auto images = ahead_.indices == indices && ahead_.images.valid() ? ahead_.images.get() : load(indices);
  ahead_ = {};
  return images;
}

void Pictures::put_into(Batch& batch, const std::vector<int64_t>& pictured) {
  if (all_.defined()) {
    std::vector<int64_t> rows;
    for (const int64_t index : pictured) rows.push_back(row_of_[index]);
    batch.image_features = all_.index_select(0, torch::tensor(rows, torch::kInt64));
    return;
  }
  const std::vector<torch::Tensor> images = decoded(to_decode(pictured));
  if (!model_.front_is_frozen()) {
    batch.images = torch::stack(images);
    return;
  }
  if (!keeps_features()) {
    batch.image_features = features(images);
    return;
  }
  auto image = images.begin();
  for (const int64_t group : missing_groups(pictured)) {
    const auto end = image + static_cast<std::ptrdiff_t>(groups_[group].size());
    const torch::Tensor made = features({image, end});
    image = end;
    // Copies: a part of a tensor would keep the whole of it.
    for (size_t i = 0; i < groups_[group].size(); ++i) features_[groups_[group][i]] = made[i].clone();
  }
  std::vector<torch::Tensor> rows;
  for (const int64_t index : pictured) rows.push_back(features_.at(index));
  batch.image_features = torch::stack(rows);
}

}  // namespace peftlab::train
