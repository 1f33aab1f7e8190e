#include "checkpoint/quantization.h"

#include "checkpoint/model_folder.h"
#include "checkpoint/safetensors.h"

#include <peftlab/error.h>

namespace peftlab::checkpoint {
namespace {

constexpr const char* kKey = "quantization_config";

/// Whether a tensor of this name, less its module's, is part of a quantized weight; "weight" alone may be a plain one.
bool marks_quantized(const std::string& rest) {
  return rest == "SCB" || rest == "weight_format" || rest.starts_with("weight.");
}

}  // namespace

bool take_quantization(Table& config, const std::string& origin) {
  const auto entry = config.find(kKey);
  if (entry == config.end()) return false;
  const Value given = entry->second;
  config.erase(entry);
  if (given.is_null()) return false;
  const std::string where = origin + ": `" + kKey + "`";
  const Table* table = given.get_if<Table>();
  if (!table) throw FormatError(where + " is " + to_json(given) + ", wanted a table");
  const Value* method = given.find("quant_method");
  if (!method || *method != Value("bitsandbytes")) {
    throw FormatError(where + " has the quant_method " + (method ? to_json(*method) : "null") +
                      ": only \"bitsandbytes\" is read here");
  }
  const auto is_set = [&](const char* key) {
    const Value* value = given.find(key);
    return value && *value == Value(true);
  };
  if (is_set("load_in_4bit") == is_set("load_in_8bit")) {
    throw FormatError(where + " has to set one of load_in_4bit and load_in_8bit");
  }
  // The rest tells transformers how to compute (in which type, with which threshold for outliers) or repeats what the
  // tensors themselves say; here products are exact in the model's type.
  return true;
}

Table quantization_config(const QuantizationFormat& format) {
  const bool four_bit = format.type != "int8";
  return {{"quant_method", "bitsandbytes"},
          {"load_in_4bit", four_bit},
          {"load_in_8bit", !four_bit},
          {"_load_in_4bit", four_bit},
          {"_load_in_8bit", !four_bit},
          {"bnb_4bit_quant_type", four_bit ? format.type : "fp4"},
          {"bnb_4bit_use_double_quant", four_bit && format.double_quantization},
          {"bnb_4bit_compute_dtype", "float32"},
          {"bnb_4bit_quant_storage", "uint8"},
          {"llm_int8_threshold", 6.0},
          {"llm_int8_skip_modules", Value()},
          {"llm_int8_enable_fp32_cpu_offload", false},
          {"llm_int8_has_fp16_weight", false}};
}

int64_t take_quantized_weights(Model& model, TensorMap& found) {
  int64_t taken = 0;
  for (Linear* site : model.linear_sites()) {
    const std::string start = site->name + ".";
    bool is_quantized = false;
    TensorMap tensors;
    for (auto it = found.lower_bound(start); it != found.end() && it->first.starts_with(start); ++it) {
      const std::string rest = it->first.substr(start.size());
      is_quantized = is_quantized || marks_quantized(rest);
      if (rest == "weight" || marks_quantized(rest)) tensors.emplace(rest, it->second);
    }
    if (!is_quantized) continue;
    site->set_weight({torch::Tensor(), read_quantized(tensors, site->name, site->in, site->out)});
    for (const auto& [rest, tensor] : tensors) found.erase(start + rest);
    ++taken;
  }
  return taken;
}

TensorMap passed_over(const Model& model, const std::filesystem::path& folder) {
  TensorMap tensors;
  for (const auto& file : weight_files(folder)) {
    for (const auto& [stored, tensor] : read_tensors(file)) {
      const std::string name = model.parameter_name(stored);
      if (model.ignores(stored) || model.ignores(name)) tensors[name] = tensor;
    }
  }
  return tensors;
}

TensorMap quantized_tensors(Model& model) {
  TensorMap tensors;
  for (const Linear* site : model.linear_sites()) {
    if (!site->quantized()) continue;
    for (const auto& [rest, tensor] : site->quantized()->tensors()) tensors[site->name + "." + rest] = tensor;
  }
  return tensors;
}

}  // namespace peftlab::checkpoint
