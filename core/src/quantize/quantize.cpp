#include <peftlab/error.h>
#include <quantize/formats.h>
#include <quantize/quant_state.h>

#include <ATen/ops/from_blob.h>
#include <ATen/ops/isfinite.h>

#include <cmath>
#include <set>
#include <sstream>

namespace peftlab {
namespace {

using Tensors = std::map<std::string, torch::Tensor>;

/// Takes tensors out of what was given, refuses them, and says at the end what was too many.
class Reader {
 public:
  Reader(const Tensors& tensors, const std::string& module) : tensors_(tensors), module_(module) {}

  std::string full_name(const std::string& name) const { return module_ + "." + name; }

  [[noreturn]] void refuse(const std::string& name, const std::string& what) const {
    throw FormatError(full_name(name) + ": " + what);
  }

  bool has(const std::string& name) const { return tensors_.contains(name); }

  /// The tensor, contiguous. `count`: how many numbers it has; its shape may be another.
  torch::Tensor take(const std::string& name, torch::ScalarType type, int64_t count) {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) refuse(name, "is missing");
    taken_.insert(name);
    const auto& tensor = found->second;
    if (tensor.scalar_type() != type) {
      refuse(name,
             std::string("has the type ") + c10::toString(tensor.scalar_type()) + ", wanted " + c10::toString(type));
    }
    if (tensor.numel() != count) {
      refuse(name, "has " + std::to_string(tensor.numel()) + " numbers, wanted " + std::to_string(count));
    }
    return tensor.detach().contiguous();
  }

  /// The same, with all its numbers finite.
  torch::Tensor take_scales(const std::string& name, int64_t count) {
    const auto scales = take(name, torch::kFloat32, count);
    if (!at::isfinite(scales).all().item<bool>()) refuse(name, "has a number that is not finite");
    return scales.view({-1});
  }

  /// The same, in the shape it is to have.
  torch::Tensor take_matrix(const std::string& name, torch::ScalarType type, int64_t out, int64_t in) {
    const auto tensor = take(name, type, out * in);
    if (tensor.sizes() != torch::IntArrayRef({out, in})) {
      std::ostringstream text;
      text << "has the shape " << tensor.sizes() << ", wanted [" << out << ", " << in << "]";
      refuse(name, text.str());
    }
    return tensor;
  }

  /// A table of codes, which is to be the one that is known. Its numbers may differ in their last bits: they are sums
  /// of fractions, and came out otherwise on some processor.
  torch::Tensor take_table(const std::string& name, const float* known, int64_t count) {
    const auto table = take(name, torch::kFloat32, count);
    const auto* numbers = table.const_data_ptr<float>();
    for (int64_t i = 0; i < count; ++i) {
      if (!(std::fabs(numbers[i] - known[i]) <= 1e-6f * std::fabs(known[i]))) {
        refuse(name, "is not a table that is known: " + std::to_string(numbers[i]) + " in the place of " +
                         std::to_string(known[i]));
      }
    }
    return table.view({-1});
  }

  void nothing_left() const {
    for (const auto& [name, tensor] : tensors_) {
      if (!taken_.contains(name)) refuse(name, "does not belong to the weight");
    }
  }

 private:
  const Tensors& tensors_;
  const std::string& module_;
  std::set<std::string> taken_;
};

std::shared_ptr<const WeightStorage> read_four_bit(const Tensors& tensors, const std::string& state_name,
                                                   const std::string& module, int64_t in, int64_t out) {
  Reader reader(tensors, module);
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("weight.quant_state.") && name != state_name) {
      reader.refuse(name, "is a second state, beside " + reader.full_name(state_name));
    }
  }
  const auto text = reader.take(state_name, torch::kUInt8, tensors.at(state_name).numel());
  const auto state = QuantState::parse(
      {reinterpret_cast<const char*>(text.const_data_ptr<uint8_t>()), static_cast<size_t>(text.numel())},
      reader.full_name(state_name));
  if (state_name != kQuantStatePrefix + state.format.type) {
    reader.refuse(state_name, "names another type inside: " + state.format.type);
  }
  if (state.shape != std::array{out, in}) {
    reader.refuse(state_name, "is of a weight [" + std::to_string(state.shape[0]) + ", " +
                                  std::to_string(state.shape[1]) + "], wanted [" + std::to_string(out) + ", " +
                                  std::to_string(in) + "]");
  }

  // The bytes may stand there as numbers of another type ("bnb_4bit_quant_storage").
  const int64_t n = in * out, bytes = (n + 1) / 2, blocks = (n + state.format.block_size - 1) / state.format.block_size;
  const auto stored = reader.has("weight") ? tensors.at("weight").scalar_type() : torch::kUInt8;
  if (stored != torch::kUInt8 && !c10::isFloatingType(stored)) {
    reader.refuse("weight", std::string("has the type ") + c10::toString(stored) + ", wanted Byte");
  }
  const int64_t width = c10::elementSize(stored);
  const auto weight = reader.take("weight", stored, (bytes + width - 1) / width);
  FourBitCodes codes{weight.view({-1}).view(torch::kUInt8).narrow(0, 0, bytes).view({-1, 1}), {}};
  ScaleCodes scales;
  const auto& table = four_bit_table(state.format.type);
  reader.take_table("weight.quant_map", table.code.data(), 16);
  if (state.format.double_quantization) {
    scales.q = reader.take("weight.absmax", torch::kUInt8, blocks).view({-1});
    scales.absmax = reader.take_scales("weight.nested_absmax", (blocks + 255) / 256);
    scales.offset = state.offset;
    scales.code = reader.take_table("weight.nested_quant_map", dynamic_code(true).data(), 256);
  } else {
    codes.absmax = reader.take_scales("weight.absmax", blocks);
  }
  reader.nothing_left();
  return std::make_shared<FourBitWeight>(state.format, in, out, state.dtype, codes, scales);
}

std::shared_ptr<const WeightStorage> read_int8(const Tensors& tensors, const std::string& module, int64_t in,
                                               int64_t out) {
  Reader reader(tensors, module);
  const auto codes = reader.take_matrix("weight", torch::kInt8, out, in);
  const auto scales = reader.take_scales("SCB", out);
  if (reader.has("weight_format") && reader.take("weight_format", torch::kUInt8, 1).item<uint8_t>() != 0) {
    reader.refuse("weight_format", "is not 0: the codes do not lie row after row");
  }
  reader.nothing_left();
  // The codes are of a weight in float16.
  return std::make_shared<Int8Weight>(QuantizationFormat{"int8", 64, false}, torch::kHalf, codes, scales);
}

}  // namespace

std::shared_ptr<const WeightStorage> quantize(const torch::Tensor& weight, const QuantizationFormat& format) {
  format.check();
  const auto type = weight.scalar_type();
  if (weight.dim() != 2 || (type != torch::kFloat32 && type != torch::kHalf && type != torch::kBFloat16)) {
    std::ostringstream text;
    text << "a weight " << weight.sizes() << " of the type " << c10::toString(type)
         << " cannot be quantized, wanted a matrix of Float, Half or BFloat16";
    throw UnsupportedError(text.str());
  }
  const auto& device = weight.device();
  if (format.type == "int8") return make_int8(weight.cpu(), format)->to(device);
  if (format.type == "bfloat16") {
    const auto rounded = weight.detach().to(torch::kCPU, torch::kBFloat16, false, true).contiguous();
    return std::make_shared<Bfloat16Weight>(format, type, rounded)->to(device);
  }
  return make_four_bit(weight, format)->to(device);
}

std::shared_ptr<const WeightStorage> read_quantized(const std::map<std::string, torch::Tensor>& tensors,
                                                    const std::string& module, int64_t in, int64_t out) {
  bool four_bit = false;
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("weight.")) four_bit = true;
    if (!name.starts_with("weight.quant_state.")) continue;
    if (name == kQuantStatePrefix + "nf4" || name == kQuantStatePrefix + "fp4") {
      return read_four_bit(tensors, name, module, in, out);
    }
    throw FormatError(module + "." + name + ": is a state that is not known, wanted " + kQuantStatePrefix +
                      "nf4 or ...fp4");
  }
  if (four_bit) throw FormatError(module + "." + kQuantStatePrefix + "nf4: is missing");
  const auto weight = tensors.find("weight");
  if (tensors.contains("SCB") || (weight != tensors.end() && weight->second.scalar_type() == torch::kInt8)) {
    return read_int8(tensors, module, in, out);
  }
  Reader reader(tensors, module);
  const auto numbers = reader.take_matrix("weight", torch::kBFloat16, out, in);
  reader.nothing_left();
  return std::make_shared<Bfloat16Weight>(QuantizationFormat{"bfloat16", 64, false}, torch::kBFloat16, numbers);
}

}  // namespace peftlab
