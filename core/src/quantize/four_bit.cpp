#include <peftlab/error.h>
#include <quantize/four_bit.h>

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace peftlab {
namespace {

/// The numbers of NF4 as bitsandbytes writes them, which float32 holds exactly.
constexpr std::array<float, 16> kNf4 = {-1.0f,
                                        -0.6961928009986877f,
                                        -0.5250730514526367f,
                                        -0.39491748809814453f,
                                        -0.28444138169288635f,
                                        -0.18477343022823334f,
                                        -0.09105003625154495f,
                                        0.0f,
                                        0.07958029955625534f,
                                        0.16093020141124725f,
                                        0.24611230194568634f,
                                        0.33791524171829224f,
                                        0.44070982933044434f,
                                        0.5626170039176941f,
                                        0.7229568362236023f,
                                        1.0f};

/// The numbers of FP4 times 12, by bit pattern: the upper eight are the lower ones with the sign, but for the zero.
constexpr std::array<float, 16> kFp4Times12 = {0.0f, 0.0625f,  8.0f,  12.0f,  4.0f,  6.0f,  2.0f,  3.0f,
                                               0.0f, -0.0625f, -8.0f, -12.0f, -4.0f, -6.0f, -2.0f, -3.0f};

FourBitTable make_table(const std::array<float, 16>& code) {
  FourBitTable table{code, {}};
  auto& [threshold, order] = table.search;
  std::iota(std::begin(order), std::end(order), uint8_t{0});
  // Stable, for FP4 has two zeros, of which the one without the sign comes first.
  std::stable_sort(std::begin(order), std::end(order), [&](uint8_t a, uint8_t b) { return code[a] < code[b]; });
  for (int i = 0; i < 15; ++i) threshold[i] = (code[order[i]] + code[order[i + 1]]) / 2.0f;
  threshold[15] = std::numeric_limits<float>::infinity();
  return table;
}

}  // namespace

const FourBitTable& four_bit_table(const std::string& type) {
  static const FourBitTable kNf4Table = make_table(kNf4);
  static const FourBitTable kFp4Table = [] {
    auto code = kFp4Times12;
    for (float& number : code) number /= 12.0f;
    return make_table(code);
  }();
  TORCH_CHECK(type == "nf4" || type == "fp4", "no table of 4-bit codes is called ", type);
  return type == "nf4" ? kNf4Table : kFp4Table;
}

FourBitCodes encode_four_bit(const torch::Tensor& weight, const FourBitTable& table, int64_t block) {
  const torch::Tensor flat = weight.detach().contiguous().view({-1});
  const int64_t n = flat.numel(), blocks = (n + block - 1) / block;
  FourBitCodes codes{at::empty({(n + 1) / 2, 1}, torch::kUInt8), at::empty({blocks}, torch::kFloat32)};
  auto* packed = codes.packed.mutable_data_ptr<uint8_t>();
  auto* absmax = codes.absmax.mutable_data_ptr<float>();

  // As many numbers at a time as stay in a processor's nearest caches when they have to be widened first.
  const int64_t run = std::max<int64_t>(1, 16384 / block);
  const float* wide = flat.scalar_type() == torch::kFloat32 ? flat.const_data_ptr<float>() : nullptr;
  at::parallel_for(0, (blocks + run - 1) / run, 1, [&](int64_t begin, int64_t end) {
    const torch::NoGradGuard no_grad;
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i * run * block, count = std::min(run * block, n - first);
      const auto widened = wide ? torch::Tensor() : flat.narrow(0, first, count).to(torch::kFloat32);
      kernels().encode4(wide ? wide + first : widened.const_data_ptr<float>(), count, block, table.search,
                        packed + first / 2, absmax + i * run);
    }
  });
  for (int64_t i = 0; i < blocks; ++i) {
    if (!std::isfinite(absmax[i])) {
      throw UnsupportedError("the weight has a number that is not finite among those from " +
                             std::to_string(i * block) + " on: it has no 4-bit code");
    }
  }
  return codes;
}

ScaleCodes encode_scales(const torch::Tensor& absmax, Nearest nearest) {
  ScaleCodes codes;
  {
    // On one thread, or the order of the sum, and with it the last bit, would depend on how many there are.
    const c10::ParallelGuard one_thread(true);
    codes.offset = absmax.mean().item<float>();
  }
  const auto& code = dynamic_code(true);
  codes.code = at::from_blob(const_cast<float*>(code.data()), {256}, torch::kFloat32).clone();
  const auto centred = absmax - codes.offset;
  const int64_t n = centred.numel();
  codes.q = at::empty({n}, torch::kUInt8);
  codes.absmax = at::empty({(n + 255) / 256}, torch::kFloat32);
  encode8(centred.const_data_ptr<float>(), n, 256, /*is_signed=*/true, codes.q.mutable_data_ptr<uint8_t>(),
          codes.absmax.mutable_data_ptr<float>(), nearest);
  return codes;
}

}  // namespace peftlab
