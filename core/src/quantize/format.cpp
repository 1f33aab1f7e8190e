#include <peftlab/error.h>
#include <peftlab/nn/weight_storage.h>
#include <peftlab/params.h>

#include <algorithm>

namespace peftlab {

void QuantizationFormat::check() const {
  static const std::vector<std::string> kTypes = {"nf4", "fp4", "int8", "bfloat16"};
  if (std::find(kTypes.begin(), kTypes.end(), type) == kTypes.end()) {
    throw ConfigError("quantization `" + type + "` is not known. " + suggestion(type, kTypes));
  }
  const bool power_of_two = block_size > 0 && (block_size & (block_size - 1)) == 0;
  if (!power_of_two || block_size < 32 || block_size > 4096) {
    throw ConfigError("block_size is " + std::to_string(block_size) +
                      ", wanted 32, 64, 128, 256, 512, 1024, 2048 or 4096");
  }
}

WeightStorage::~WeightStorage() = default;

}  // namespace peftlab
