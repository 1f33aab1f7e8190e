/// The kernels of quantized weights, one timed call for each line read: bench/quantize_bitsandbytes.py calls it and
/// bitsandbytes in turn.
///
///     quantize WEIGHT SIDE        reads WEIGHT, SIDE x SIDE numbers of float32, in answer to which nothing is timed
///     time quantize               seconds to quantize it to NF4, blocks of 64, plain scales
///     time dequantize TYPE        seconds to make it a new matrix of TYPE (float32, bfloat16) again
///     time rows TYPE              the same in memory that is there already
///     time product ROWS TYPE      seconds of x W^T, x [ROWS, SIDE]
///     codes FILE                  writes the packed codes, to be compared

#include <peftlab/nn/weight_storage.h>

#include <torch/torch.h>

#include <malloc.h>

#include <chrono>
#include <fstream>
#include <iostream>
#include <limits>
#include <sstream>

namespace {

torch::ScalarType type_of(const std::string& name) { return name == "bfloat16" ? torch::kBFloat16 : torch::kFloat32; }

template <typename Work>
double seconds(const Work& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main() {
  // As peftlab keeps freed memory (core/cli/engine/entry.cpp).
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, std::numeric_limits<int>::max());
  const torch::NoGradGuard no_grad;
  const peftlab::QuantizationFormat format{.type = "nf4", .block_size = 64, .double_quantization = false};
  torch::Tensor weight, rows;
  std::shared_ptr<const peftlab::WeightStorage> quantized;
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string command, what, type;
    words >> command >> what;
    double taken = 0;
    if (command == "quantize") {
      int64_t side = 0;
      words >> side;
      weight = torch::empty({side, side});
      std::ifstream(what, std::ios::binary).read(static_cast<char*>(weight.data_ptr()), weight.nbytes());
      quantized = peftlab::quantize(weight, format);
    } else if (command == "codes") {
      const auto codes = quantized->tensors().at("weight").contiguous();
      std::ofstream(what, std::ios::binary).write(static_cast<const char*>(codes.data_ptr()), codes.nbytes());
    } else if (what == "quantize") {
      taken = seconds([&] { quantized = peftlab::quantize(weight, format); });
    } else if (what == "dequantize") {
      words >> type;
      taken = seconds([&] { quantized->dense(type_of(type)); });
    } else if (what == "rows") {
      words >> type;
      if (!rows.defined() || rows.scalar_type() != type_of(type)) rows = torch::zeros(weight.sizes(), type_of(type));
      taken = seconds([&] { quantized->write_rows(0, rows); });
    } else if (what == "product") {
      int64_t count = 0;
      words >> count >> type;
      torch::manual_seed(1);
      const auto x = torch::randn({count, weight.size(1)}).to(type_of(type));
      taken = seconds([&] { quantized->multiply(x); });
    }
    std::cout << taken << std::endl;
  }
}
