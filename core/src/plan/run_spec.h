#pragma once

/// \file
/// A run is a value: everything that decides its outcome, in one struct with one canonical text.

#include "config/experiment.h"

#include <peftlab/value.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::plan {

/// A plugin and its options, as they are handed to it.
struct PluginUse {
  std::string plugin;
  Table options;

  bool operator==(const PluginUse&) const = default;
};

/// One run: one method (or mixture) with one seed. Paths are absolute.
struct RunSpec {
  std::string experiment;
  std::string label;
  bool is_baseline = false;
  std::vector<PluginUse> methods;  ///< in the order they are attached
  std::string role = "method";     ///< "method" | "trial" | "size" | "base": what the run is for, see store/schema.sql
  std::string of_label;            ///< of a trial or size: the method that it is tried for

  std::string model_path;
  std::string model_init;   ///< "pretrained" | "random"
  std::string model_dtype;  ///< "float32" | "bfloat16" | "float16"
  std::vector<std::string> model_labels;  ///< classes of a new head; empty: the model as it is

  PluginUse dataset;
  std::string train_data, validation_data, test_data, retention_data;  ///< empty: not given
  std::optional<int64_t> max_length;

  config::TrainSection train;
  std::vector<PluginUse> metrics;
  std::string primary;
  int64_t seed = 0;

  bool operator==(const RunSpec&) const = default;
};

/// The run as a table and back: what the store keeps and a worker is started from.
/// from_table throws FormatError where a key is missing, unknown, or of another type.
Table to_table(const RunSpec& spec);
RunSpec from_table(const Table& table);

/// What the outcome depends on besides the spec's own text: name -> sha256, such as "base", "train", "plugin lora".
using Checksums = std::map<std::string, std::string>;

/// The spec without its seed, and without what cannot change the outcome (experiment name, labels, primary metric, the
/// paths, whose contents the checksums name): sha256 of its canonical text with the checksums. Two runs of one key and
/// one seed are the same run.
std::string variant_key(const RunSpec& spec, const Checksums& checksums);

}  // namespace peftlab::plan
