#pragma once

/// \file
/// What goes into the store and comes out of it, as plain data. Absent optionals are NULL in the store: not known.

#include <peftlab/value.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::store {

/// A row's number inside one store.
using Id = int64_t;

struct BaseModel {
  std::string name;  ///< as the user wrote it
  std::string arch;  ///< the model plugin
  int64_t n_params = 0;
  std::string dtype;   ///< "float32", ...
  std::string sha256;  ///< of the weights
};

struct Dataset {
  std::string name;
  std::string split;  ///< "train", "validation", "test" or "retention"
  std::string path;
  int64_t n_rows = 0;
  std::string sha256;

  bool operator==(const Dataset&) const = default;
};

struct Plugin {
  std::string name;
  std::string kind;  ///< "model", "dataset", "method" or "metric"
  std::string file;
  std::string sha256;
  int64_t abi = 0;
  std::string torch_version;

  bool operator==(const Plugin&) const = default;
};

struct Experiment {
  std::string name;
  std::string config_text;  ///< the file, verbatim
  std::string primary_metric;
};

/// What a search chose for one option of a method.
struct Choice {
  std::string option;     ///< "train.learning_rate", "rank"
  std::string chosen_by;  ///< "tune" or "match"
  Value value;
  List tried;
  std::string criterion;            ///< what it was chosen by: "bleu on validation"
  std::optional<std::string> flag;  ///< why the choice is to be doubted; absent: nothing known against it
  int64_t n_tried = 0;              ///< runs of the search, of all options together
  std::optional<double> seconds;    ///< that they trained, together
};

/// A method with its whole configuration, without the seed.
struct Variant {
  std::string key;  ///< plan::variant_key
  std::string label;
  std::string method;  ///< "lora" or "lora+prefix"
  std::vector<std::string> method_plugins;
  Table config;
  bool is_baseline = false;
  std::string role = "method";          ///< "method" | "trial" | "size" | "base", see schema.sql
  std::optional<std::string> of_label;  ///< of a trial or size: the method that it is tried for
  std::vector<Choice> choices;
};

/// What an attempt is made from.
struct RunInputs {
  std::optional<Id> base_model;
  std::vector<Id> datasets;
  std::vector<Id> plugins;
};

/// The newest attempt of a variant and seed. State: "pending", "running", "finished", "failed", "interrupted" or
/// "cancelled".
struct Attempt {
  std::string uuid;
  int64_t attempt = 0;
  std::string state;
  std::string error_kind, error_text;  ///< empty unless it failed
};

/// One point of a curve. A value that is not finite is kept as what it is.
struct MetricPoint {
  std::string metric;  ///< "train/loss", "validation/loss", ...
  int64_t step = 0;    ///< optimizer steps done, from 1
  double value = 0.0;
  int64_t at_ms = 0;  ///< when it was written, milliseconds since 1970; the store sets it
};

struct Score {
  std::string metric;
  std::string split;  ///< "validation", "test" or "retention"
  double value = 0.0;
  std::optional<int64_t> n_items;  ///< examples
  bool higher_is_better = false;
};

/// The price of one phase: "load", "tokenize", "features", "train", "evaluate", "save" or "total".
struct Cost {
  std::string phase;
  std::optional<int64_t> wall_ms, cpu_ms, peak_rss_bytes, peak_device_bytes;
  std::optional<int64_t> energy_uj;          ///< microjoules
  std::optional<std::string> energy_source;  ///< "rapl" or "nvml"; given where energy_uj is
  std::optional<int64_t> examples, tokens;   ///< that went through the model
};

/// What a run ends with.
struct Outcome {
  std::optional<std::string> adapter_sha256;  ///< absent only where nothing is trained
  int64_t trainable_parameters = 0;
  int64_t total_parameters = 0;
};

struct RunRow {
  std::string uuid, experiment, label, method;
  int64_t seed = 0, attempt = 1, segment = 0;
  std::string state;
  std::optional<std::string> adapter_sha256, base_sha256;
  std::optional<int64_t> trainable_parameters, total_parameters;
  std::optional<double> train_seconds;
  std::optional<int64_t> peak_memory_bytes;  ///< of training; the device's where there is one, else of the process
  bool is_current = true;                    ///< the newest experiment file still has its variant
  bool is_baseline = false;
  bool is_newest = true;  ///< the newest attempt of its variant and seed
  std::string error_kind, error_text;
  std::optional<int64_t> created_ms, started_ms, ended_ms;  ///< milliseconds since 1970
  std::string role = "method";
  std::optional<std::string> of_label;
  std::optional<double> examples_per_second, tokens_per_second;  ///< of training

  /// Whether it is part of the comparison as the newest experiment file has it.
  bool is_compared() const { return is_current && role == "method"; }
};

/// How far the newest attempt of a current variant and seed is.
struct Progress {
  std::string uuid, label, role, state;
  int64_t seed = 0;
  std::optional<int64_t> step;           ///< the last of train/loss
  std::optional<int64_t> planned_steps;  ///< once training has begun
  std::optional<double> loss;            ///< at that step
  std::optional<int64_t> heartbeat_ms;
};

struct Artifact {
  std::string name, kind, sha256;
  int64_t size_bytes = 0;
};

struct Event {
  int64_t at_ms = 0;
  std::string kind;
  std::string detail_json;
};

/// A cost with the segment (0, and one more after each resume) it belongs to.
struct SegmentCost {
  int64_t segment = 0;
  Cost cost;
};

/// All that is known of one run.
struct RunDetail {
  RunRow run;
  std::vector<std::string> method_plugins;
  Table config;
  std::optional<BaseModel> base_model;
  std::vector<Dataset> datasets;
  std::vector<Plugin> plugins;
  std::optional<std::string> environment_sha256;
  Table environment;
  std::vector<Score> scores;
  std::vector<SegmentCost> costs;
  std::vector<Artifact> artifacts;
  std::vector<Event> events;
  std::vector<std::string> series;  ///< names of the curves there are
};

struct ExperimentRow {
  std::string uuid, name, primary_metric;
  std::string baseline;  ///< label; empty: none
  int64_t n_runs = 0, n_finished = 0;
  int64_t created_ms = 0, last_run_ms = 0;
};

/// A row of v_compare: one label, metric and split over its seeds.
struct CompareRow {
  std::string label, method, metric, split;
  int64_t n = 0;
  double mean = 0.0;
  std::optional<double> sd, ci95_low, ci95_high;  ///< absent below two seeds
  bool higher_is_better = false;
  bool is_baseline = false;
};

/// A row of v_paired: label minus baseline on the split `test`.
struct PairedRow {
  std::string label, baseline, metric;
  int64_t n = 0;
  std::optional<double> mean_difference, ci95_low, ci95_high;
  std::string verdict;  ///< "better", "worse", "no clear difference" or "too few seeds", of this method alone
  std::optional<double> sd_difference;  ///< absent below two seeds
};

/// One thing in which two runs differ; an empty optional: that run has no such entry.
struct Difference {
  std::string path;  ///< "config.train.learning_rate", "plugin.lora", "environment.cpu", "seed"
  std::optional<std::string> a, b;
};

/// One file that nothing needs: an object that nothing refers to, or a part of a cache.
struct Garbage {
  std::string file;  ///< below the store's folder
  int64_t size_bytes = 0;
};

}  // namespace peftlab::store
