#pragma once

/// \file
/// What an experiment file says, each value with the place it was said at. Plain data: made by read_experiment(),
/// expanded by plan/.

#include <peftlab/params.h>
#include <peftlab/value.h>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::config {

/// A place in a file, or on the command line (`file` is then the option as given, and `line` is 0).
struct Location {
  std::string file;
  int line = 0;    ///< from 1; 0: the file as a whole
  int column = 0;  ///< from 1, in characters
  int width = 1;   ///< characters, on that line

  bool operator==(const Location&) const = default;
};

/// A plugin and the options given to it; `where` knows the place of every option by its key ("" is the table's own).
struct PluginTable {
  std::string plugin;
  Table options;
  std::map<std::string, Location> where;
  Table defaults;  ///< what the plugin takes for options that were not given; for {option} in labels
};

/// `[model]`
struct ModelSection {
  std::filesystem::path path;       ///< a model folder, absolute; with `pretrain`, empty
  std::filesystem::path pretrain;   ///< absolute: an experiment file that makes the model first; empty: none
  std::string init = "pretrained";  ///< "pretrained": weights are read; "random": drawn from the seed
  std::string dtype = "float32";    ///< float32 | bfloat16 | float16
  std::vector<std::string> labels;  ///< a new head for these classes, drawn from the seed; empty: the model as it is
  Location where;
};

/// `[data]`. Paths are absolute; an empty one: that split is not given.
struct DataSection {
  PluginTable dataset;  ///< `plugin` and what keys it takes beyond those below
  std::filesystem::path train, validation, test, retention;
  std::optional<int64_t> max_length;  ///< tokens; absent: what the model holds
  Location where;
};

/// `[train]`, whole or as overridden by one method. The defaults are the contract's.
struct TrainSection {
  std::optional<int64_t> epochs;  ///< exactly one of epochs and steps is set once read (default: 3 epochs)
  std::optional<int64_t> steps;
  int64_t batch_size = 4;
  int64_t gradient_accumulation = 1;
  double learning_rate = 1e-4;
  std::string lr_scheduler = "linear";  ///< constant | linear | cosine
  double warmup_ratio = 0.0;
  double weight_decay = 0.0;
  double max_grad_norm = 1.0;      ///< 0: no clipping
  std::string precision = "fp32";  ///< fp32 | bf16 | fp16
  bool shuffle = true;
  std::optional<int64_t> eval_every_steps;  ///< absent: every epoch
  bool gradient_checkpointing = false;
  bool cuda_graphs = false;
  std::string optimizer = "adamw";
  int64_t threads = 0;  ///< 0: all

  bool operator==(const TrainSection&) const = default;
};

/// `[tune]`: the values that every method is tried with on validation data before its seeds are run.
struct TuneSection {
  std::map<std::string, List> values;  ///< [train] key -> what is tried, as written
  std::optional<int64_t> trials;       ///< at most so many of the combinations; absent: all
  std::optional<double> seconds;       ///< of training that a method's trials may take together; absent: no limit
  int64_t seed = 0;                    ///< that trials are run with
  Location where;
};

/// `match` and what stands beside it in `[experiment]`: sizes are chosen so that methods cost the same.
struct MatchKeys {
  std::string cost;        ///< "parameters" | "seconds" | "memory"; empty: sizes are what the file says
  std::string to;          ///< label of the method whose cost the others are given
  double tolerance = 0.1;  ///< relative
  int64_t steps = 10;      ///< optimizer steps that a size is measured with
};

/// One `[[method]]` as written: label template, plugins, grid and overrides are expanded by plan/.
struct MethodSection {
  std::string label;                 ///< may hold {option} placeholders
  std::vector<PluginTable> plugins;  ///< one; several with `use = [...]`
  std::map<std::string, List> grid;  ///< option (or "train.key") -> the values tried
  Table train;                       ///< [train] keys set for this method, checked
  std::string size;                  ///< the integer option that `match` chooses; empty: this method stays as it is
  Location where;
};

struct Experiment {
  std::filesystem::path file;
  std::string text;                    ///< the file, verbatim
  std::vector<std::string> overrides;  ///< `KEY=VALUE` of --set, as given
  std::string name;
  std::string baseline;  ///< label of a method; empty: none
  std::string primary = "loss";
  std::vector<int64_t> seeds = {0};
  ModelSection model;
  DataSection data;
  TrainSection train;
  std::optional<TuneSection> tune;
  MatchKeys match;
  std::vector<MethodSection> methods;
  std::vector<PluginTable> metrics;
};

}  // namespace peftlab::config
