#pragma once

/// \file
/// What is trained as the files of Hugging Face peft: of the triplets only those that are alive, and which they are.

#include "branch.h"

#include <peftlab/method.h>

namespace peftlab::adalora {

/// The tensors of adapter_model.safetensors, on the CPU.
TensorMap tensors_of(const Branches& branches);

/// `rank_pattern` of adapter_config.json: for each map which triplets the file holds, or null if it holds all.
Value pattern_of(const Branches& branches);

/// Takes the values and the choice of `files`; triplets that they do not hold become zero.
/// Throws: FormatError, and changes nothing.
void read(const Branches& branches, const AdapterFiles& files);

}  // namespace peftlab::adalora
