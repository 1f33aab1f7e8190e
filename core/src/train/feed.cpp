#include "train/feed.h"

#include <peftlab/error.h>

namespace peftlab::train {
namespace {

constexpr int64_t kFeatureLimit = int64_t{1} << 30;  // bytes of front features kept by one feed

}  // namespace

Feed::Feed(const Dataset& data, Model& model, const Tokenizer& tokenizer, int64_t max_length, torch::Device device,
           bool with_target)
    : data_(data), model_(model), device_(device) {
  const int64_t holds = model.facts().max_length;
  if (max_length > holds) {
    throw ConfigError("max_length is " + std::to_string(max_length) + ", the model holds " + std::to_string(holds) +
                      " tokens");
  }
  encoded_.reserve(data.size());
  for (int64_t i = 0; i < data.size(); ++i) {
    encoded_.push_back(model.encode(data.example(i), tokenizer, max_length > 0 ? max_length : holds, with_target));
    labelled_.push_back(0);
    for (const int64_t label : encoded_.back().labels) labelled_.back() += label != kNoLabel;
  }
}

std::vector<torch::Tensor> Feed::load(const std::vector<int64_t>& indices) {
  std::vector<torch::Tensor> images;
  for (const int64_t index : indices) images.push_back(data_.image(index));
  return images;
}

void Feed::prefetch(const std::vector<int64_t>& indices) {
  const bool frozen = model_.front_is_frozen();
  Prefetched next;
  for (const int64_t index : indices) {
    if (encoded_[index].image_at >= 0 && !(frozen && features_.count(index))) next.indices.push_back(index);
  }
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
  if (pictured.empty()) return batch.to(device_);

  const bool frozen = model_.front_is_frozen();
  std::vector<int64_t> wanted;
  for (const int64_t index : pictured) {
    if (!frozen || !features_.count(index)) wanted.push_back(index);
  }
  std::vector<torch::Tensor> images;
  if (!wanted.empty()) {
    images = ahead_.indices == wanted && ahead_.images.valid() ? ahead_.images.get() : load(wanted);
    ahead_ = {};
  }
  if (!frozen) {
    batch.images = torch::stack(images);
    return batch.to(device_);
  }

  std::unordered_map<int64_t, torch::Tensor> fresh;
  if (!wanted.empty()) {
    const torch::NoGradGuard no_grad;
    const auto made = model_.front(torch::stack(images).to(device_)).to(torch::kCPU);
    for (size_t i = 0; i < wanted.size(); ++i) {
      auto one = made[static_cast<int64_t>(i)].clone();
      fresh[wanted[i]] = one;
      if (feature_bytes_ + static_cast<int64_t>(one.nbytes()) > kFeatureLimit) continue;
      feature_bytes_ += static_cast<int64_t>(one.nbytes());
      features_[wanted[i]] = one;
    }
  }
  std::vector<torch::Tensor> rows;
  for (const int64_t index : pictured) rows.push_back(fresh.count(index) ? fresh[index] : features_.at(index));
  batch.image_features = torch::stack(rows);
  return batch.to(device_);
}

}  // namespace peftlab::train
