#include <peftlab/error.h>
#include <peftlab/nn/quantized_maps.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace peftlab {
namespace {

constexpr const char* kFormat = "quantization";
constexpr const char* kDouble = "double_quantization";
constexpr const char* kBlock = "block_size";
constexpr const char* kTargets = "quantized_targets";

/// Tells the kernel that a tensor's memory will not be read again soon: whole pages of a mapped file are dropped, and come
/// back from the file should somebody read them.
void give_pages_back(const torch::Tensor& tensor) {
  const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<uintptr_t>(tensor.data_ptr());
  const uintptr_t first = (begin + page - 1) / page * page, last = (begin + tensor.nbytes()) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_PAGEOUT);
}

}  // namespace

QuantizedMaps::QuantizedMaps(Params& params) {
  format_.type = params.get(kFormat, format_.type,
                            "how the frozen maps are kept: \"nf4\", \"fp4\", \"int8\", \"bfloat16\", or \"none\"");
  format_.double_quantization =
      params.get(kDouble, format_.double_quantization, "of nf4 and fp4: the scales of the blocks as 8-bit codes too");
  format_.block_size = params.get(kBlock, format_.block_size,
                                  "of nf4 and fp4: weights that share a scale, a power of two from 32 to 4096");
  targets_ =
      params.get(kTargets, std::vector<std::string>{"all-linear"},
                 "ends of the names of the maps that are quantized; \"all-linear\", which leaves the output layer "
                 "out; or one regular expression for whole names");
  const std::vector<std::string> types = {"nf4", "fp4", "int8", "bfloat16", "none"};
  params.check(std::find(types.begin(), types.end(), format_.type) != types.end(), kFormat,
               "must be \"nf4\", \"fp4\", \"int8\", \"bfloat16\" or \"none\"");
  const int64_t size = format_.block_size;
  params.check(32 <= size && size <= 4096 && (size & (size - 1)) == 0, kBlock,
               "must be a power of two from 32 to 4096");
}

void QuantizedMaps::apply(Model& model) {
  if (format_.type == "none") return;
  const torch::NoGradGuard no_grad;
  for (Linear* site : model.linear_sites(targets_)) {
    if (site->quantized()) {
      throw ConfigError("the weight of " + site->name + " is quantized already (" + site->quantized()->format().type +
                        "): it cannot be quantized again");
    }
    const torch::Tensor before = site->weight;
    const auto after = quantize(before.contiguous(), format_);
    is_exact_ = is_exact_ && torch::equal(after->dense(before.scalar_type()), before);
    bytes_before_ += static_cast<int64_t>(before.nbytes());
    bytes_after_ += after->bytes();
    site->set_weight({torch::Tensor(), after});
    if (before.is_cpu() && before.is_contiguous()) give_pages_back(before);
  }
}

Table QuantizedMaps::to_table() const {
  return {{kFormat, format_.type},
          {kDouble, format_.double_quantization},
          {kBlock, format_.block_size},
          {kTargets, targets_}};
}

Table QuantizedMaps::take_from(Table& table) {
  Table options;
  for (const char* key : {kFormat, kDouble, kBlock, kTargets}) {
    if (auto entry = table.extract(key)) options.insert(std::move(entry));
  }
  return options;
}

}  // namespace peftlab
