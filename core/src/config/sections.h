#pragma once

/// \file
/// The keys of each section, with type, default, range and meaning, each in one place.

#include "config/experiment.h"

#include <peftlab/params.h>

#include <filesystem>

namespace peftlab::config {

/// `schema` and the other keys outside every section.
void read_root(Params& params);

/// `[experiment]`
void read_experiment_section(Params& params, Experiment& experiment);

/// `[tune]`, all but the keys of [train] that it lists values for.
void read_tune(Params& params, TuneSection& tune);

/// `[model]`; paths are taken from `folder`.
void read_model(Params& params, ModelSection& model, const std::filesystem::path& folder);

/// `[data]`, all but the options of its plugin; paths are taken from `folder`.
void read_data(Params& params, DataSection& data, const std::filesystem::path& folder);

/// `[train]`, or those of its keys that one method sets; what is not given is as in `base`.
TrainSection read_train(Params& params, TrainSection base);

/// `[train]` as overridden by `overrides`, which were checked before. Throws: ConfigError if they were not.
TrainSection merged(const TrainSection& base, const Table& overrides);

/// `[[method]]`, all but the options of its plugin and those keys that hold tables (`train`, `grid`, `use`).
void read_method(Params& params, MethodSection& method, std::string& plugin);

/// `[[metric]]`, all but the options of its plugin.
void read_metric(Params& params, std::string& plugin);

}  // namespace peftlab::config
