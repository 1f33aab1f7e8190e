#pragma once

/// \file
/// One `[[method]]` of the file can be several methods: a grid makes one of every combination of its values.

#include "config/experiment.h"

#include <cstdint>
#include <string>
#include <vector>

namespace peftlab::config {

/// One combination of a method's grid.
struct Variant {
  std::string label;                     ///< placeholders filled
  std::vector<PluginTable> plugins;      ///< options of this combination
  Table train;                           ///< [train] keys of this combination
  std::map<std::string, size_t> chosen;  ///< grid key -> index of the value taken
};

/// How many combinations the grid has, 1 without one; at most `limit` + 1.
int64_t count_variants(const MethodSection& method, int64_t limit);

/// All combinations: the keys in sorted order, the last one running fastest.
/// `train` is the experiment's [train], for placeholders of keys that the method leaves alone.
/// Throws: ConfigError if the label asks for an option that is not there, or is malformed.
std::vector<Variant> variants(const MethodSection& method, const TrainSection& train);

/// A value inside a label: numbers as short as they can be (8, 0.1, 5e-4), strings bare, lists joined by "+".
std::string label_text(const Value& value);

/// `[train]` as a table of its keys, all of them given.
Table train_table(const TrainSection& train);

}  // namespace peftlab::config
