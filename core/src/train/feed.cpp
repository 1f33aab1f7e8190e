#include "train/feed.h"

#include "attach/session.h"

#include <peftlab/error.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <numeric>

namespace peftlab::train {
namespace {

constexpr int64_t kFeatureLimit = int64_t{1} << 30;  // bytes of front features kept by one feed
constexpr int64_t kPicturesTogether = 8;
constexpr int64_t kWhole = std::numeric_limits<int32_t>::max();  // longer than any text

Encoded encode(const Dataset& data, int64_t index, const Model& model, const Tokenizer& tokenizer, int64_t max_length,
               bool with_target) {
  try {
    return model.encode(data.example(index), tokenizer, max_length, with_target);
  } catch (const FormatError& error) {
    throw FormatError(data.place(index) + ": " + error.what());
  } catch (const UnsupportedError& error) {
    throw UnsupportedError(data.place(index) + ": " + error.what());
  }
}

}  // namespace

Feed::Feed(const Dataset& data, Model& model, const Tokenizer& tokenizer, int64_t max_length, torch::Device device,
           bool with_target, bool packed)
    : data_(data), model_(model), device_(device) {
  const int64_t holds = model.facts().max_length;
  if (max_length > holds) {
    throw ConfigError("max_length is " + std::to_string(max_length) + ", the model holds " + std::to_string(holds) +
                      " tokens");
  }
  const int64_t cut = max_length > 0 ? max_length : holds - attach::taken_positions(model);
  if (packed && with_target) {
    add_packed(tokenizer, cut);
    return;
  }
  encoded_.reserve(data.size());
  for (int64_t i = 0; i < data.size(); ++i) add(encode(data, i, model, tokenizer, cut, with_target));
  std::vector<int64_t> order(encoded_.size());
  std::iota(order.begin(), order.end(), 0);
  group_pictures(order, kPicturesTogether);
}

void Feed::add(Encoded encoded) {
  labelled_.push_back(std::count_if(encoded.labels.begin(), encoded.labels.end(),
                                    [](int64_t label) { return label != kNoLabel; }));
  encoded_.push_back(std::move(encoded));
}

void Feed::add_packed(const Tokenizer& tokenizer, int64_t max_length) {
  std::vector<int64_t> row;
  const auto finish = [&] {
    Encoded encoded{.tokens = row, .labels = {row.begin() + 1, row.end()}};
    encoded.labels.push_back(kNoLabel);
    add(std::move(encoded));
    row.clear();
  };
  for (int64_t i = 0; i < data_.size(); ++i) {
    for (const int64_t id : encode(data_, i, model_, tokenizer, kWhole, /*with_target=*/true).tokens) {
      row.push_back(id);
      if (static_cast<int64_t>(row.size()) == max_length) finish();
    }
  }
  // A row of one token would have no label.
  if (row.size() > 1) finish();
}

std::vector<torch::Tensor> Feed::load(const std::vector<int64_t>& indices) {
  std::vector<torch::Tensor> images;
  for (const int64_t index : indices) images.push_back(data_.image(index));
  return images;
}

void Feed::group_pictures(const std::vector<int64_t>& order, int64_t size) {
  groups_.clear();
  group_of_.assign(encoded_.size(), -1);
  features_.clear();
  for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(size)) {
    std::vector<int64_t> group;
    for (size_t i = begin; i < std::min(order.size(), begin + static_cast<size_t>(size)); ++i) {
      if (encoded_[order[i]].image_at < 0) continue;
      group_of_[order[i]] = static_cast<int64_t>(groups_.size());
      group.push_back(order[i]);
    }
    if (!group.empty()) groups_.push_back(std::move(group));
  }
}

bool Feed::keeps_features() {
  if (keeps_features_ || groups_.empty()) return keeps_features_.value_or(false);
  const auto pictures = std::count_if(group_of_.begin(), group_of_.end(), [](int64_t group) { return group >= 0; });
  const auto bytes = static_cast<int64_t>(features(load({groups_.front().front()})).nbytes());
  keeps_features_ = bytes <= kFeatureLimit / pictures;
  return *keeps_features_;
}

std::vector<int64_t> Feed::missing_groups(const std::vector<int64_t>& pictured) const {
  std::vector<int64_t> found;
  for (const int64_t index : pictured) {
    const int64_t group = group_of_[index];
    if (!features_.count(index) && std::find(found.begin(), found.end(), group) == found.end()) found.push_back(group);
  }
  return found;
}

std::vector<int64_t> Feed::to_decode(const std::vector<int64_t>& pictured) {
  if (!model_.front_is_frozen() || !keeps_features()) return pictured;
  std::vector<int64_t> found;
  for (const int64_t group : missing_groups(pictured)) {
    found.insert(found.end(), groups_[group].begin(), groups_[group].end());
  }
  return found;
}

void Feed::prefetch(const std::vector<int64_t>& indices) {
  std::vector<int64_t> pictured;
  for (const int64_t index : indices) {
    if (encoded_[index].image_at >= 0) pictured.push_back(index);
  }
  Prefetched next;
  if (!pictured.empty()) next.indices = to_decode(pictured);
  if (!next.indices.empty()) {
    next.images = std::async(std::launch::async, [this, wanted = next.indices] { return load(wanted); });
  }
  ahead_ = std::move(next);
}

Batch Feed::batch(const std::vector<int64_t>& indices) {
  std::vector<Encoded> encoded;
  for (const int64_t index : indices) encoded.push_back(encoded_[index]);
  return batch(indices, encoded);
}

Batch Feed::batch(const std::vector<int64_t>& indices, const std::vector<Encoded>& encoded) {
  Batch batch = pack(encoded);
  std::vector<int64_t> pictured;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (encoded[i].image_at >= 0) pictured.push_back(indices[i]);
  }
  if (!pictured.empty()) {
    const auto start = std::chrono::steady_clock::now();
    add_pictures(pictured, batch);
    picture_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return batch.to(device_);
}

std::vector<torch::Tensor> Feed::decoded(const std::vector<int64_t>& indices) {
  if (indices.empty()) return {};
  auto images = ahead_.indices == indices && ahead_.images.valid() ? ahead_.images.get() : load(indices);
  ahead_ = {};
  return images;
}

torch::Tensor Feed::features(const std::vector<torch::Tensor>& images) {
  const torch::NoGradGuard no_grad;
  return model_.front(torch::stack(images).to(device_)).to(torch::kCPU);
}

void Feed::add_pictures(const std::vector<int64_t>& pictured, Batch& batch) {
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
