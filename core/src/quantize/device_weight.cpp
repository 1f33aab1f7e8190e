#include <peftlab/error.h>
#include <quantize/device_weight.h>
#include <quantize/formats.h>
#include <quantize/quant_state.h>

#include <ATen/ops/empty.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <bit>

namespace peftlab {
namespace {

/// Bytes of the weight that are real at a time.
constexpr int64_t kPieceBytes = 16 << 20;

const DeviceKernels& (*giver)() = nullptr;

const DeviceKernels& device_kernels(torch::Device device) {
  if (giver == nullptr) {
    throw UnsupportedError("a quantized weight cannot be on the device " + device.str() +
                           ": no kernels were given for it");
  }
  return giver();
}

void check(const char* reason, const char* work) {
  if (reason != nullptr) throw UnsupportedError(std::string(work) + " on the GPU could not be started: " + reason);
}

Real real_of(torch::ScalarType type) {
  return type == torch::kFloat32 ? Real::float32 : type == torch::kBFloat16 ? Real::bfloat16 : Real::float16;
}

template <typename T>
const T* data(const std::map<std::string, torch::Tensor>& tensors, const char* name) {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : found->second.const_data_ptr<T>();
}

bool is_state(const std::string& name) { return name.starts_with(kQuantStatePrefix); }

}  // namespace

void give_device_kernels(const DeviceKernels& (*from)()) { giver = from; }

DeviceWeight::DeviceWeight(QuantizationFormat format, int64_t in, int64_t out, torch::ScalarType dtype,
                           torch::Device device, float offset, std::map<std::string, torch::Tensor> tensors)
    : QuantizedWeight(std::move(format), in, out, dtype),
      device_(device),
      offset_(offset),
      tensors_(std::move(tensors)) {}

FourBitOnDevice DeviceWeight::four_bit() const {
  FourBitOnDevice weight{};
  weight.packed = data<uint8_t>(tensors_, "weight");
  weight.table = data<float>(tensors_, "weight.quant_map");
  if (format().double_quantization) {
    weight.scale_codes = data<uint8_t>(tensors_, "weight.absmax");
    weight.scale_absmax = data<float>(tensors_, "weight.nested_absmax");
    weight.scale_table = data<float>(tensors_, "weight.nested_quant_map");
    weight.offset = offset_;
  } else {
    weight.absmax = data<float>(tensors_, "weight.absmax");
  }
  weight.log2_block = std::countr_zero(static_cast<uint64_t>(format().block_size));
  return weight;
}

torch::Tensor DeviceWeight::whole(torch::ScalarType type) const {
  return format().type == "bfloat16" && type == torch::kBFloat16 ? tensors_.at("weight") : torch::Tensor();
}

void DeviceWeight::write_rows(int64_t first, const torch::Tensor& to) const {
  check_rows(first, to);
  const auto type = real_of(to.scalar_type());
  if (format().type == "bfloat16") {
    to.copy_(tensors_.at("weight").narrow(0, first, to.size(0)));
  } else if (format().type == "int8") {
    check(
        device_kernels(device_).decode8(device_.index(), data<int8_t>(tensors_, "weight"), data<float>(tensors_, "SCB"),
                                        in(), first, to.size(0), type, to.mutable_data_ptr()),
        "dequantizing");
  } else {
    check(device_kernels(device_).decode4(device_.index(), four_bit(), first * in(), to.numel(), type,
                                          to.mutable_data_ptr()),
          "dequantizing");
  }
}

torch::Tensor DeviceWeight::multiply_rows(const torch::Tensor& x, bool transposed) const {
  const torch::NoGradGuard no_grad;
  const auto type = piece_type(x.scalar_type());
  const auto y = at::empty({x.size(0), transposed ? in() : out()}, x.options());
  const bool four_bit_codes = format().type == "nf4" || format().type == "fp4";
  if (!transposed && four_bit_codes && type == x.scalar_type() && x.size(0) <= kFewRowsOnDevice && in() % 8 == 0) {
    check(device_kernels(device_).multiply4(device_.index(), four_bit(), in(), out(), x.const_data_ptr(), x.size(0),
                                            real_of(type), y.mutable_data_ptr()),
          "a product with a quantized weight");
    return y;
  }
  const int64_t fit = kPieceBytes / (in() * static_cast<int64_t>(c10::elementSize(type)));
  const int64_t most = std::min(out(), std::max<int64_t>(64, fit));
  const auto piece = at::empty({most, in()}, x.options().dtype(type));
  // x W is a sum over the pieces: it is not rounded to 16 bits in between.
  const auto sum =
      transposed ? at::zeros(y.sizes(), x.options().dtype(x.element_size() == 2 ? torch::kFloat32 : x.scalar_type()))
                 : y;
  for (int64_t first = 0; first < out(); first += most) {
    const int64_t count = std::min(most, out() - first);
    const auto rows = piece.narrow(0, 0, count);
    write_rows(first, rows);
    const auto w = rows.to(x.scalar_type());
    if (transposed) {
      sum.add_(at::mm(x.narrow(1, first, count), w));
    } else {
      y.narrow(1, first, count).copy_(at::mm(x, w.t()));
    }
  }
  return transposed ? sum.to(x.scalar_type()) : y;
}

std::shared_ptr<const WeightStorage> DeviceWeight::to(torch::Device device) const {
  if (device == device_) return shared_from_this();
  auto moved = tensors_;
  for (auto& [name, tensor] : moved) {
    if (!is_state(name)) tensor = tensor.to(device);
  }
  if (!device.is_cpu()) {
    return std::make_shared<DeviceWeight>(format(), in(), out(), dtype(), device, offset_, std::move(moved));
  }
  if (format().type == "int8") {
    return std::make_shared<Int8Weight>(format(), dtype(), moved.at("weight"), moved.at("SCB"));
  }
  if (format().type == "bfloat16") return std::make_shared<Bfloat16Weight>(format(), dtype(), moved.at("weight"));
  FourBitCodes codes{moved.at("weight"), moved.at("weight.absmax")};
  ScaleCodes scales;
  if (format().double_quantization) {
    scales = {codes.absmax, moved.at("weight.nested_absmax"), offset_, moved.at("weight.nested_quant_map")};
    codes.absmax.reset();
  }
  return std::make_shared<FourBitWeight>(format(), in(), out(), dtype(), std::move(codes), std::move(scales));
}

std::shared_ptr<const WeightStorage> put_on_device(const WeightStorage& weight, torch::Device device) {
  device_kernels(device);
  auto tensors = weight.tensors();
  float offset = 0;
  for (auto& [name, tensor] : tensors) {
    if (!is_state(name)) {
      tensor = tensor.to(device);
    } else if (weight.format().double_quantization) {
      const std::string line(reinterpret_cast<const char*>(tensor.const_data_ptr<uint8_t>()), tensor.numel());
      offset = QuantState::parse(line, name).offset;
    }
  }
  return std::make_shared<DeviceWeight>(weight.format(), weight.in(), weight.out(), weight.dtype(), device, offset,
                                        std::move(tensors));
}

FourBitCodes encode_four_bit_on_device(const torch::Tensor& weight, const FourBitTable& table, int64_t block) {
  const auto flat = weight.detach().contiguous().view({-1});
  const int64_t n = flat.numel();
  const auto options = flat.options();
  FourBitCodes codes{at::empty({(n + 1) / 2, 1}, options.dtype(torch::kUInt8)),
                     at::empty({(n + block - 1) / block}, options.dtype(torch::kFloat32))};
  check(device_kernels(weight.device())
            .encode4(weight.device().index(), flat.const_data_ptr(), real_of(flat.scalar_type()), n, block,
                     table.search, codes.packed.mutable_data_ptr<uint8_t>(), codes.absmax.mutable_data_ptr<float>()),
        "quantizing");
  if (!at::isfinite(codes.absmax).all().item<bool>()) {
    throw UnsupportedError("the weight has a number that is not finite: it has no 4-bit code");
  }
  return codes;
}

}  // namespace peftlab
