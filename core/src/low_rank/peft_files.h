#pragma once

/// \file
/// adapter_config.json of peft's LORA, in both directions.

#include "low_rank/options.h"
#include "low_rank/selection.h"

namespace peftlab::low_rank {

/// All fields that peft 0.21 writes. What `init` = "pissa" trained is described as the plain LoRA of twice the rank
/// that its tensors make beside the untouched base.
/// `targets` are those in force; `transposed`: the base's file holds [in, out], as GPT-2's.
Table adapter_config(const Options& options, const std::vector<std::string>& targets, const Selection& selection,
                     bool transposed);

/// The options of the method that reads such a file.
/// Throws: FormatError naming what it asks for and LoRA here cannot compute.
Table options_from(const Table& adapter_config);

}  // namespace peftlab::low_rank
