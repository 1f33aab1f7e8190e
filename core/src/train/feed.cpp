#include "train/feed.h"

#include "attach/session.h"

#include <peftlab/error.h>

#include <algorithm>
#include <chrono>
#include <limits>

namespace peftlab::train {
namespace {

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
    : data_(data), model_(model), device_(device), pictures_(data, model, device), ahead_(device) {
  const int64_t holds = model.facts().max_length;
  if (max_length > holds) {
    throw ConfigError("max_length is " + std::to_string(max_length) + ", the model holds " + std::to_string(holds) +
                      " tokens");
  }
  const int64_t cut = max_length > 0 ? max_length : holds - attach::taken_positions(model);
  if (packed && with_target) {
    add_packed(tokenizer, cut);
  } else {
    encoded_.reserve(data.size());
    for (int64_t i = 0; i < data.size(); ++i) add(encode(data, i, model, tokenizer, cut, with_target));
  }
  std::vector<int64_t> pictured;
  for (int64_t i = 0; i < size(); ++i) {
    if (encoded_[i].image_at >= 0) pictured.push_back(i);
  }
  pictures_.list(std::move(pictured), size());
}

void Feed::add(Encoded encoded) {
  labelled_.push_back(
      std::count_if(encoded.labels.begin(), encoded.labels.end(), [](int64_t label) { return label != kNoLabel; }));
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

std::string Feed::sha256() const {
  std::vector<int64_t> numbers;
  for (const Encoded& encoded : encoded_) {
    for (const auto* list : {&encoded.tokens, &encoded.labels}) {
      numbers.push_back(static_cast<int64_t>(list->size()));
      numbers.insert(numbers.end(), list->begin(), list->end());
    }
    numbers.insert(numbers.end(), {encoded.context, encoded.image_at, encoded.class_at});
  }
  return sha256_of(numbers);
}

void Feed::prefetch(const std::vector<int64_t>& indices) {
  std::vector<int64_t> pictured;
  for (const int64_t index : indices) {
    if (encoded_[index].image_at >= 0) pictured.push_back(index);
  }
  if (!pictured.empty()) settle();
  pictures_.prefetch(pictured);
  if (pictured.empty() || pictures_.has_all()) ahead_.send(indices, packed(indices, encoded_of(indices)));
}

void Feed::settle() {
  if (shared_.keeps() && !pictures_.is_settled()) make_features();
}

std::vector<Encoded> Feed::encoded_of(const std::vector<int64_t>& indices) const {
  std::vector<Encoded> encoded;
  for (const int64_t index : indices) encoded.push_back(encoded_[index]);
  return encoded;
}

Batch Feed::batch(const std::vector<int64_t>& indices) {
  if (auto ready = ahead_.take(indices)) return *std::move(ready);
  return batch(indices, encoded_of(indices));
}

Batch Feed::batch(const std::vector<int64_t>& indices, const std::vector<Encoded>& encoded) {
  return on_device(packed(indices, encoded), device_);
}

Batch Feed::packed(const std::vector<int64_t>& indices, const std::vector<Encoded>& encoded) {
  Batch batch = pack(encoded);
  std::vector<int64_t> pictured;
  for (size_t i = 0; i < indices.size(); ++i) {
    if (encoded[i].image_at >= 0) pictured.push_back(indices[i]);
  }
  if (!pictured.empty()) {
    const auto start = std::chrono::steady_clock::now();
    settle();
    pictures_.put_into(batch, pictured);
    picture_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  return batch;
}

}  // namespace peftlab::train
