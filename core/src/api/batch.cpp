#include <peftlab/batch.h>
#include <peftlab/error.h>
#include <peftlab/nn/to_device.h>

#include <algorithm>

namespace peftlab {

int64_t Layout::max_length() const {
  int64_t longest = 0;
  for (int64_t s = 0; s < sequences(); ++s) longest = std::max(longest, length(s));
  return longest;
}

void Layout::add(int64_t length, int64_t visible_context) {
  offsets.push_back(offsets.back() + length);
  context.push_back(visible_context);
}

Batch Batch::to(torch::Device device) const {
  const auto move = [&](const torch::Tensor& t) { return t.defined() ? to_device(t, device) : t; };
  Batch moved = *this;
  moved.tokens = move(tokens);
  moved.labels = move(labels);
  moved.images = move(images);
  moved.image_features = move(image_features);
  return moved;
}

Batch pack(const std::vector<Encoded>& examples, const std::vector<torch::Tensor>& images) {
  Batch batch;
  std::vector<int64_t> tokens, labels;
  int64_t pictures = 0;
  for (const Encoded& e : examples) {
    if (e.labels.size() != e.tokens.size()) {
      throw Error("an encoded example has " + std::to_string(e.tokens.size()) + " tokens but " +
                  std::to_string(e.labels.size()) + " labels");
    }
    tokens.insert(tokens.end(), e.tokens.begin(), e.tokens.end());
    labels.insert(labels.end(), e.labels.begin(), e.labels.end());
    batch.layout.add(static_cast<int64_t>(e.tokens.size()), e.context);
    batch.image_at.push_back(e.image_at);
    if (e.image_at >= 0) ++pictures;
  }
  batch.tokens = torch::tensor(tokens, torch::kInt64);
  batch.labels = torch::tensor(labels, torch::kInt64);
  if (!images.empty()) {
    if (static_cast<int64_t>(images.size()) != pictures) {
      throw Error("a batch with " + std::to_string(pictures) + " picture places was given " +
                  std::to_string(images.size()) + " pictures");
    }
    batch.images = torch::stack(images);
  }
  return batch;
}

}  // namespace peftlab
