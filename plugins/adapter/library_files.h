#pragma once

/// \file
/// Adapters as the `adapters` library 1.3 keeps them.

#include "options.h"

#include <peftlab/model.h>
#include <peftlab/value.h>

#include <set>
#include <string>

namespace peftlab::adapter {

/// The adapter's name in files of ours.
constexpr const char* kName = "peftlab";

/// Where `adapters` keeps the bottleneck of a site named after its linear map: in BERT's output modules
/// ("...attention.output.dense" -> "...attention.output"), else in the layer ("transformer.h.0.attn.c_proj" ->
/// "transformer.h.0.attention_adapters").
std::string library_path(const Sublayer& site);

/// adapter_config.json as that library writes it, and under `peftlab` the options.
/// `positions`: the sublayers of a layer that have a bottleneck.
Table library_config(const Options& options, const ModelFacts& facts, const std::set<Sublayer::Position>& positions);

/// The options that a file asks for.
/// Throws: FormatError naming what this plugin cannot compute.
Table options_of_library(const Table& adapter_config);

}  // namespace peftlab::adapter
