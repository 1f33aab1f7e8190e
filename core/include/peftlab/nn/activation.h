#pragma once

/// \file
/// The functions between the maps of a feed-forward network, by the names that Hugging Face's config.json gives them.

#include <peftlab/export.h>
#include <peftlab/params.h>

#include <torch/types.h>

#include <functional>
#include <string>
#include <vector>

namespace peftlab {

using Activation = std::function<torch::Tensor(const torch::Tensor&)>;

/// The function that transformers calls `name` ("gelu_new", "silu", ...). Those with weights of their own are not among
/// them. Throws: ConfigError naming the nearest one.
PEFTLAB_API Activation activation(const std::string& name);

/// f(gate) * up, of tensors of one shape: what stands in a gated feed-forward network.
using GatedActivation = std::function<torch::Tensor(const torch::Tensor& gate, const torch::Tensor& up)>;
PEFTLAB_API GatedActivation gated_activation(const std::string& name);

/// The names there are, sorted.
PEFTLAB_API std::vector<std::string> activation_names();

/// Reads the option `key`, a name. One that is not known is kept as a problem in `params`.
PEFTLAB_API Activation read_activation(Params& params, const std::string& key, const std::string& default_name);
PEFTLAB_API GatedActivation read_gated_activation(Params& params, const std::string& key,
                                                  const std::string& default_name);

}  // namespace peftlab
