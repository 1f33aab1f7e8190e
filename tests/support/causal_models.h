#pragma once

/// \file
/// The tiny GPT-2, LLaMA, Mistral and Qwen2 folders of tests/oracle/causal_models and the numbers of transformers, for
/// tests of the model plugins.

#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"
#include "registry/registry.h"
#include "support/files.h"

#include <peftlab/error.h>
#include <peftlab/model.h>
#include <peftlab/testing/toy.h>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace peftlab::causal {

inline std::filesystem::path folder(const std::string& name) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  if (!source) throw Error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
  return std::filesystem::path(source) / "tests/oracle/causal_models" / name;
}

/// expected.json: "cases", "classes", "generation", "variants", "variants_generation", each a table by name.
inline const Table& expected(const std::string& section) {
  static const Value all = parse_json(read_text(folder("expected.json"), size_t{4} << 20), "expected.json");
  return *all.find(section)->get_if<Table>();
}

inline const TensorMap& numbers() {
  static const TensorMap tensors = checkpoint::read_tensors(folder("expected.safetensors"));
  return tensors;
}

inline std::vector<std::string> names(const std::string& section) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : expected(section)) names.push_back(name);
  return names;
}

/// The list `key` of a table.
inline const List& list(const Value& table, const std::string& key) { return *table.find(key)->get_if<List>(); }

inline std::vector<int64_t> ids(const Value& table, const std::string& key) {
  std::vector<int64_t> numbers;
  for (const Value& item : list(table, key)) numbers.push_back(*item.get_if<int64_t>());
  return numbers;
}

inline std::string text(const Value& table, const std::string& key) { return *table.find(key)->get_if<std::string>(); }

inline double real(const Value& table, const std::string& key) { return *table.find(key)->get_if<double>(); }

/// A model as the program makes it, from the library that its model_type names.
inline std::shared_ptr<Model> make_model(const Table& config) {
  at::set_num_threads(1);  // the tensors are tiny: threads would only wait for each other
  static const registry::Registry plugins({testing::plugin_folder()});
  Params params(config, "config.json");
  auto model = plugins.make_model(*config.at("model_type").get_if<std::string>(), params);
  params.finish();
  model->eval();
  return model;
}

/// The configuration of a folder with some keys changed.
inline Table config_of(const std::string& name, const Table& changes = {}) {
  Table config = checkpoint::read_config(folder(name));
  for (const auto& [key, value] : changes) config[key] = value;
  return config;
}

inline std::shared_ptr<Model> open_model(const std::string& name, const Table& changes = {}) {
  auto model = make_model(config_of(name, changes));
  checkpoint::load_weights(*model, folder(name), torch::kFloat32);
  return model;
}

inline Encoded encoded(const std::vector<int64_t>& tokens, std::vector<int64_t> labels = {}) {
  if (labels.empty()) labels.assign(tokens.size(), kNoLabel);
  return Encoded{.tokens = tokens, .labels = std::move(labels)};
}

/// [tokens, vocabulary] of sequences packed one after the other.
inline torch::Tensor logits(Model& model, const std::vector<std::vector<int64_t>>& sequences,
                            KeyValueCache* cache = nullptr) {
  const torch::NoGradGuard no_grad;
  std::vector<Encoded> examples;
  for (const auto& tokens : sequences) examples.push_back(encoded(tokens));
  return model.head(model.hidden(pack(examples), cache));
}

inline double difference(const torch::Tensor& found, const torch::Tensor& wanted) {
  EXPECT_EQ(found.sizes(), wanted.sizes());
  return (found - wanted).abs().max().item<double>();
}

}  // namespace peftlab::causal
