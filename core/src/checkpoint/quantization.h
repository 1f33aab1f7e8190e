#pragma once

/// \file
/// Quantized model folders, in the layout of transformers with bitsandbytes: `quantization_config` in config.json, and
/// several tensors in place of a map's weight.

#include <peftlab/model.h>
#include <peftlab/value.h>

#include <filesystem>
#include <optional>
#include <string>

namespace peftlab::checkpoint {

/// Takes `quantization_config` out of `config`, if it is there and not null. Returns whether it was: some of the
/// folder's maps are then quantized. `origin` names the file in messages.
/// Throws: FormatError for a method other than bitsandbytes, and for what it says that is not known here.
bool take_quantization(Table& config, const std::string& origin);

/// The entry that transformers writes for weights of this format.
Table quantization_config(const QuantizationFormat& format);

/// Gives every linear map whose weight `found` holds in a quantized form that weight, and takes its tensors out of
/// `found` (names are the parameters', with what transformers puts behind them). Returns how many there were.
/// Throws: FormatError as read_quantized() does.
int64_t take_quantized_weights(Model& model, TensorMap& found);

/// The tensors of a folder that mean nothing to this model, by the names its parameters have there: heads of other tasks,
/// which a folder written from the model alone would lose.
TensorMap passed_over(const Model& model, const std::filesystem::path& folder);

/// The tensors of every quantized map, by the names a folder has them under.
TensorMap quantized_tensors(Model& model);

}  // namespace peftlab::checkpoint
