#pragma once

/// \file
/// The oracle's models and numbers (tests/oracle/visualglm), for this plugin's tests.

#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"
#include "registry/registry.h"

#include <peftlab/error.h>
#include <peftlab/model.h>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

namespace peftlab {

inline std::filesystem::path folder_of(const char* variable) {
  const char* folder = std::getenv(variable);
  if (!folder) throw Error(std::string(variable) + " is not set: run the tests with ctest");
  return folder;
}

inline std::filesystem::path oracle(const std::string& name) {
  return folder_of("PEFTLAB_SOURCE_DIR") / "tests/oracle/visualglm" / name;
}

/// A model as the program makes it, from the plugin's library.
inline std::shared_ptr<Model> make_model(const Table& config) {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  static const registry::Registry plugins({folder_of("PEFTLAB_BINARY_DIR") / "plugins"});
  Params params(config, "config.json");
  auto model = plugins.make_model("visualglm", params);
  params.finish();
  model->eval();
  return model;
}

inline std::shared_ptr<Model> open_model(const std::string& folder, const Table& changes = {}) {
  Table config = checkpoint::read_config(oracle(folder));
  for (const auto& [key, value] : changes) config[key] = value;
  auto model = make_model(config);
  checkpoint::load_weights(*model, oracle(folder), torch::kFloat32);
  return model;
}

inline const TensorMap& expected() {
  static const TensorMap tensors = checkpoint::read_tensors(oracle("expected.safetensors"));
  return tensors;
}

inline std::vector<int64_t> list(const torch::Tensor& t) {
  const auto flat = t.to(torch::kInt64).contiguous();
  return {flat.data_ptr<int64_t>(), flat.data_ptr<int64_t>() + flat.numel()};
}

/// One case of the oracle ("image", "image2", "text", "model_text.text").
struct Case {
  Encoded encoded;
  torch::Tensor pixels;  ///< [3, height, width], undefined without a picture

  explicit Case(const std::string& name) {
    const auto& all = expected();
    encoded.tokens = list(all.at(name + ".ids"));
    encoded.labels = list(all.at(name + ".labels"));
    encoded.context = all.at(name + ".context").item<int64_t>();
    if (all.count(name + ".pixels")) {
      encoded.image_at = all.at(name + ".image_at").item<int64_t>();
      pixels = all.at(name + ".pixels")[0];
    }
  }
};

inline Batch batch_of(const std::vector<Case>& cases) {
  std::vector<Encoded> encoded;
  std::vector<torch::Tensor> images;
  for (const Case& one : cases) {
    encoded.push_back(one.encoded);
    if (one.pixels.defined()) images.push_back(one.pixels);
  }
  return pack(encoded, images);
}

inline torch::Tensor loss_of(Model& model, const Batch& batch) {
  const auto rows = (batch.labels != kNoLabel).nonzero().flatten();
  const auto logits = model.head(model.hidden(batch).index_select(0, rows));
  return torch::cross_entropy_loss(logits, batch.labels.index_select(0, rows));
}

/// The largest difference, against the largest value of `wanted` where that is above 1: float32 has 7 digits,
/// and hidden states and gradients of the tiny model reach 10 and more.
inline double difference(const torch::Tensor& found, const torch::Tensor& wanted) {
  EXPECT_EQ(found.sizes(), wanted.sizes());
  return (found - wanted).abs().max().item<double>() / std::max(1.0, wanted.abs().max().item<double>());
}

/// The prompt of a case alone, ready to be answered.
inline Case prompt_of(Case one) {
  one.encoded.tokens.resize(one.encoded.context + 1);
  one.encoded.labels.assign(one.encoded.context + 1, kNoLabel);
  return one;
}

/// The greedy ids of `steps` tokens from a filled cache, and with `logits` each step's logits [steps, vocabulary].
inline std::vector<int64_t> generate(Model& model, const Batch& prompt, int64_t steps,
                                     torch::Tensor* logits = nullptr) {
  const torch::NoGradGuard no_grad;
  KeyValueCache cache(steps);
  std::vector<int64_t> ids;
  std::vector<torch::Tensor> rows;
  auto last = model.head(model.hidden(prompt, &cache).slice(0, -1));
  for (int64_t step = 0; step < steps; ++step) {
    rows.push_back(last);
    ids.push_back(last.argmax(-1).item<int64_t>());
    Batch next;
    next.tokens = torch::tensor({ids.back()}, torch::kInt64);
    next.layout.add(1, 0);
    next.image_at = {-1};
    last = model.head(model.hidden(next, &cache));
  }
  if (logits) *logits = torch::cat(rows);
  return ids;
}

}  // namespace peftlab
