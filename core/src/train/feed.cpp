#include "train/feed.h"

#include "attach/session.h"

#include <peftlab/error.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace peftlab::train {
namespace {

constexpr int64_t kFeatureLimit = int64_t{1} << 30;  // bytes of front features kept by one feed
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
  if (!pictured.empty()) {
    const auto start = std::chrono::steady_clock::now();
    add_pictures(pictured, batch);
    picture_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return batch.to(device_);
}

void Feed::add_pictures(const std::vector<int64_t>& pictured, Batch& batch) {
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
    return;
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
}

}  // namespace peftlab::train
