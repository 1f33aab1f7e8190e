#pragma once

/// \file
/// A model as a folder: config.json, model.safetensors or shards, and the tokenizer's files.

#include <peftlab/model.h>
#include <peftlab/value.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::checkpoint {

/// config.json as a table. Throws: FormatError naming the file if it is missing, no JSON object, or lacks model_type.
Table read_config(const std::filesystem::path& folder);

/// The files that hold the weights: model.safetensors, or the shards its index names (each once, sorted).
/// Throws: FormatError that says what was found instead; for pickles (*.bin, *.pt), how to convert them.
std::vector<std::filesystem::path> weight_files(const std::filesystem::path& folder);

/// The checksum of a model: sha256 of model.safetensors; of shards, the sha256 of their lines "<sha256>  <name>\n".
std::string weights_sha256(const std::filesystem::path& folder);

/// Gives the model's parameters the values of the folder, in type `dtype` or each in its own. Keys are strict: every parameter is there,
/// with its shape, and nothing else is, but for what Model::ignores() and tied parameters with equal values.
/// Where the type agrees, parameters lie on the mapped file itself. Quantized maps (see checkpoint/quantization.h) keep
/// what the folder holds; there have to be some if `is_quantized`, and none if not.
/// `prepare`: called before parameters are converted, when all of them still lie on the file in its own types.
/// `new_head`: the classification head is not looked for in the folder: its weights are drawn from torch's generator,
/// N(0, *new_head), its biases are zero, and the head of another task that the folder may hold is passed over.
/// Throws: FormatError with the list of what is missing, unknown, or of another shape.
void load_weights(
    Model& model, const std::filesystem::path& folder, std::optional<torch::ScalarType> dtype,
    std::optional<double> new_head = std::nullopt, bool is_quantized = false,
    const std::function<void()>& prepare = [] {});

/// Writes the model as a folder: its weights as model.safetensors (tied tensors once), and every other file of
/// `source` that is no weight (the tokenizer, config.json unless `config` is given in its stead). Its
/// quantization_config is written anew, or left out where no map is quantized.
/// `others`: tensors to write beside the model's own.
void save_model(Model& model, const std::filesystem::path& source, const std::filesystem::path& folder,
                const std::optional<Table>& config = std::nullopt, const TensorMap& others = {});

/// "float32", "bfloat16", "float16". Throws: ConfigError for another word.
torch::ScalarType dtype_from(const std::string& word);

}  // namespace peftlab::checkpoint
