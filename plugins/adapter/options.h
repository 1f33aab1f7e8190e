#pragma once

/// \file
/// What an adapter is told: its options, read and checked once, with the defaults of its kind.

#include <peftlab/nn/activation.h>
#include <peftlab/nn/sublayer.h>
#include <peftlab/params.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::adapter {

/// Where the bottleneck reads and what is added to it.
enum class Kind {
  houlsby,   ///< reads the sublayer's output
  pfeiffer,  ///< reads that output after the residual was added and, where there is a norm of the sum, after the norm
  parallel,  ///< reads the residual stream before the sublayer, and no more
};

/// The name in options.
std::string name_of(Kind kind);

struct Options {
  explicit Options(Params& p);

  /// m for a site of width d.
  int64_t width_for(int64_t d) const;
  /// Whether `places` has bottlenecks at this sublayer.
  bool is_place(Sublayer::Position position) const;
  bool up_starts_at_zero() const { return init == "zero" || init == "mam_adapter"; }
  /// The options that make the same adapter again, whatever the defaults are.
  Table table() const;

  Kind kind;
  std::optional<int64_t> width;
  double reduction, scale;
  std::string nonlinearity, init, places;
  bool layer_norms;
  std::optional<std::vector<std::string>> targets;
};

/// The function by the name that transformers and, for `leakyrelu`, `adapters` give it.
Activation nonlinearity(const std::string& name);
bool is_nonlinearity(const std::string& name);
std::vector<std::string> nonlinearity_names();

}  // namespace peftlab::adapter
