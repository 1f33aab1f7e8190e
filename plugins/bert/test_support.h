#pragma once

/// \file
/// The oracle's tiny models and numbers (tests/oracle/bert), for this plugin's tests.

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

namespace peftlab::bert {

inline std::filesystem::path folder(const std::string& name) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  if (!source) throw Error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
  return std::filesystem::path(source) / "tests/oracle/bert" / name;
}

/// "cases" of expected.json, by the names of folders.
inline const Table& cases() {
  static const Value all = parse_json(read_text(folder("expected.json"), size_t{4} << 20), "expected.json");
  return *all.find("cases")->get_if<Table>();
}

inline std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& [name, entry] : cases()) names.push_back(name);
  return names;
}

inline const torch::Tensor& number(const std::string& name) {
  static const TensorMap tensors = checkpoint::read_tensors(folder("expected.safetensors"));
  return tensors.at(name);
}

/// One sequence of a case: `label` where it is classified, `labels` where tokens were masked.
struct Sequence {
  Encoded encoded;
  std::optional<double> loss;
};

inline std::vector<int64_t> integers(const Value& list) {
  std::vector<int64_t> numbers;
  for (const Value& item : *list.get_if<List>()) numbers.push_back(*item.get_if<int64_t>());
  return numbers;
}

inline std::vector<Sequence> sequences_of(const std::string& case_name) {
  std::vector<Sequence> sequences;
  for (const Value& given : *cases().at(case_name).find("sequences")->get_if<List>()) {
    Sequence one;
    one.encoded.tokens = integers(*given.find("ids"));
    one.encoded.labels.assign(one.encoded.tokens.size(), kNoLabel);
    if (const Value* labels = given.find("labels")) one.encoded.labels = integers(*labels);
    if (const Value* label = given.find("label")) {
      one.encoded.class_at = 0;
      one.encoded.labels[0] = *label->get_if<int64_t>();
    }
    if (const Value* loss = given.find("loss")) one.loss = *loss->get_if<double>();
    sequences.push_back(one);
  }
  return sequences;
}

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

inline Batch batch_of(const std::vector<std::vector<int64_t>>& sequences) {
  std::vector<Encoded> examples;
  for (const auto& tokens : sequences) {
    examples.push_back({.tokens = tokens, .labels = std::vector<int64_t>(tokens.size(), kNoLabel)});
  }
  return pack(examples);
}

inline torch::Tensor hidden(Model& model, const std::vector<std::vector<int64_t>>& sequences) {
  const torch::NoGradGuard no_grad;
  return model.hidden(batch_of(sequences), nullptr);
}

inline double difference(const torch::Tensor& found, const torch::Tensor& wanted) {
  EXPECT_EQ(found.sizes(), wanted.sizes());
  return (found - wanted).abs().max().item<double>();
}

}  // namespace peftlab::bert
