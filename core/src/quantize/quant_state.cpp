#include <peftlab/error.h>
#include <quantize/quant_state.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

namespace peftlab {
namespace {

using nlohmann::json;

struct Dtype {
  const char* name;
  torch::ScalarType type;
};
constexpr Dtype kDtypes[] = {{"float32", torch::kFloat32}, {"float16", torch::kHalf}, {"bfloat16", torch::kBFloat16}};

}  // namespace

std::string QuantState::text() const {
  std::string dtype_name;
  for (const auto& [name, type] : kDtypes) {
    if (type == dtype) dtype_name = name;
  }
  auto line = "{\"quant_type\": \"" + format.type + "\", \"blocksize\": " + std::to_string(format.block_size) +
              ", \"dtype\": \"" + dtype_name + "\", \"shape\": [" + std::to_string(shape[0]) + ", " +
              std::to_string(shape[1]) + "]";
  if (format.double_quantization) {
    line += ", \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": " +
            json(static_cast<double>(offset)).dump();
  }
  return line + "}";
}

QuantState QuantState::parse(const std::string& text, const std::string& name) {
  const auto refuse = [&](const std::string& what) { throw FormatError(name + ": " + what); };
  const auto state = json::parse(text, nullptr, false);
  if (!state.is_object()) refuse("is not a line of JSON that names its fields");

  static const std::set<std::string> kKnown = {"quant_type",       "blocksize",    "dtype",        "shape",
                                               "nested_blocksize", "nested_dtype", "nested_offset"};
  for (const auto& [key, value] : state.items()) {
    if (!kKnown.contains(key)) refuse("has the unknown field `" + key + "`");
  }
  const auto field = [&](const char* key) -> const json& {
    if (!state.contains(key)) refuse(std::string("lacks the field `") + key + "`");
    return state.at(key);
  };
  const auto found = [&](const char* key, const std::string& wanted) {
    refuse(std::string("`") + key + "` is " + state.at(key).dump() + ", wanted " + wanted);
  };

  QuantState result;
  const auto& type = field("quant_type");
  if (type != "nf4" && type != "fp4") found("quant_type", "\"nf4\" or \"fp4\"");
  result.format.type = type.get<std::string>();

  const auto& block = field("blocksize");
  const std::set<int64_t> blocks = {32, 64, 128, 256, 512, 1024, 2048, 4096};
  if (!block.is_number_integer() || !blocks.contains(block.get<int64_t>())) {
    found("blocksize", "a power of two from 32 to 4096");
  }
  result.format.block_size = block.get<int64_t>();

  const auto& dtype = field("dtype");
  bool known = false;
  for (const auto& [name, scalar_type] : kDtypes) {
    if (dtype == name) {
      result.dtype = scalar_type;
      known = true;
    }
  }
  if (!known) found("dtype", "\"float32\", \"float16\" or \"bfloat16\"");

  const auto& shape = field("shape");
  if (!shape.is_array() || shape.size() != 2 || !shape[0].is_number_unsigned() || !shape[1].is_number_unsigned()) {
    found("shape", "two sizes");
  }
  result.shape = {shape[0].get<int64_t>(), shape[1].get<int64_t>()};

  result.format.double_quantization =
      state.contains("nested_blocksize") || state.contains("nested_dtype") || state.contains("nested_offset");
  if (!result.format.double_quantization) return result;
  if (field("nested_blocksize") != 256) found("nested_blocksize", "256");
  if (field("nested_dtype") != "float32") found("nested_dtype", "\"float32\"");
  const auto& offset = field("nested_offset");
  if (!offset.is_number() || !std::isfinite(offset.get<float>())) found("nested_offset", "a number of float32");
  result.offset = offset.get<float>();
  return result;
}

}  // namespace peftlab
