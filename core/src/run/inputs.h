#pragma once

/// \file
/// What a run depends on besides its own text: plugins, data and base weights, checked and named by their sha256 before
/// anything is trained.

#include "config/read.h"
#include "plan/run_spec.h"
#include "registry/registry.h"
#include "store/store.h"

#include <filesystem>
#include <map>
#include <string>

namespace peftlab::run {

/// How config/ asks plugins about the options a file gives them.
config::OptionChecker option_checker(const registry::Registry& registry);

/// Facts about the inputs of runs, each found once however many runs share it.
class Inputs {
 public:
  explicit Inputs(const registry::Registry& registry) : registry_(registry) {}

  /// All that decides the outcome of `spec` but is not in its text. Reads every data file and decodes every picture.
  /// Throws: FormatError, naming file and line; PluginError.
  plan::Checksums checksums(const plan::RunSpec& spec);

  /// Writes them into the store. Requires: checksums(spec) was called.
  store::RunInputs record(const plan::RunSpec& spec, store::Store& store);

 private:
  struct Data {
    std::string sha256;
    int64_t rows = 0;
  };
  struct Base {
    std::string sha256;       ///< of the weights; empty for random first values
    std::string files_sha256;  ///< of config.json and the tokenizer's files
    std::string model_type;
    int64_t parameters = 0;
  };

  const Data& data(const plan::PluginUse& dataset, const std::string& path);
  const Base& base(const plan::RunSpec& spec);

  const registry::Registry& registry_;
  std::map<std::string, Data> data_;
  std::map<std::string, Base> bases_;
};

/// The sha256 of a model folder's config.json and tokenizer: of whatever lies there and is no weight.
std::string model_files_sha256(const std::filesystem::path& folder);

/// "train", "validation", "test", "retention" -> the file `spec` gives for it; those that are given, in that order.
std::vector<std::pair<std::string, std::string>> given_splits(const plan::RunSpec& spec);

}  // namespace peftlab::run
