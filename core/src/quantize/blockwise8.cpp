#include <quantize/blockwise8.h>
#include <quantize/kernels.h>

#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace peftlab {
namespace {

/// (c[i] + c[i + 1]) / 2, and infinity behind the last.
std::array<float, 256> midpoints(const float* code) {
  std::array<float, 256> middle;
  for (int i = 0; i < 255; ++i) middle[i] = 0.5f * (code[i] + code[i + 1]);
  middle[255] = std::numeric_limits<float>::infinity();
  return middle;
}

/// Thresholds t such that the nearest code to v is the number of them below v. Half way between an odd index and the
/// even one above it the even one is wanted, so that threshold lies one step under the midpoint.
std::array<float, 256> exact_thresholds(const float* code) {
  auto threshold = midpoints(code);
  for (int i = 1; i < 255; i += 2) threshold[i] = std::nextafter(threshold[i], -2.0f);
  return threshold;
}

std::vector<uint8_t> make_sixteen_bit_codes(bool is_signed) {
  const auto middle = midpoints(dynamic_code(is_signed).data());
  std::vector<uint8_t> table(65536);
  for (int i = 0; i < 65536; ++i) {
    const float value = -1.0f + (2.0f * static_cast<float>(i)) / 65535.0f;
    table[i] = static_cast<uint8_t>(std::lower_bound(middle.begin(), middle.end() - 1, value) - middle.begin());
  }
  return table;
}

void encode_by_table(const float* x, int64_t n, const uint8_t* table, uint8_t* q, float* absmax) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, std::fabs(x[i]));
  *absmax = largest;
  const float scale = largest > 0 ? 1.0f / largest : 0.0f;
  for (int64_t i = 0; i < n; ++i) {
    const float v = std::clamp(x[i] * scale, -1.0f, 1.0f);
    q[i] = largest > 0 ? table[static_cast<uint16_t>((v + 1.0f) * 0.5f * 65535.0f + 0.5f)] : 0;
  }
}

/// For each power of ten from 1e-6 to 1 the centres of the steps of an even division of [0.1, 1], times that power. The
/// arithmetic is that of torch.linspace in float32, which counts from the nearer end and rounds once.
std::array<float, 256> make_dynamic_code(bool is_signed) {
  static constexpr float kPowers[] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1.0f};
  std::array<float, 256> code;
  int size = 0;
  for (int power = 0; power < 7; ++power) {
    const int steps = 1 << (is_signed ? power : power + 1);
    const float width = (1.0f - 0.1f) / static_cast<float>(steps);
    const auto edge = [&](int i) {
      return i < (steps + 1) / 2 ? std::fma(width, static_cast<float>(i), 0.1f)
                                 : std::fma(-width, static_cast<float>(steps - i), 1.0f);
    };
    for (int i = 0; i < steps; ++i) {
      const float value = kPowers[power] * ((edge(i) + edge(i + 1)) / 2.0f);
      code[size++] = value;
      if (is_signed) code[size++] = -value;
    }
  }
  code[size++] = 0.0f;
  code[size++] = 1.0f;
  std::sort(code.begin(), code.end());
  return code;
}

/// Calls f(first number, how many, first block) for runs of whole blocks, on several threads.
template <typename F>
void for_runs(int64_t n, int64_t block, const F& f) {
  const int64_t blocks = (n + block - 1) / block;
  at::parallel_for(0, blocks, std::max<int64_t>(1, 32768 / block), [&](int64_t begin, int64_t end) {
    f(begin * block, std::min(end * block, n) - begin * block, begin);
  });
}

}  // namespace

const std::array<float, 256>& dynamic_code(bool is_signed) {
  static const auto kSigned = make_dynamic_code(true);
  static const auto kUnsigned = make_dynamic_code(false);
  return is_signed ? kSigned : kUnsigned;
}

const std::vector<uint8_t>& sixteen_bit_codes(bool is_signed) {
  static const auto kSigned = make_sixteen_bit_codes(true);
  static const auto kUnsigned = make_sixteen_bit_codes(false);
  return is_signed ? kSigned : kUnsigned;
}

void encode8(const float* x, int64_t n, int64_t block, bool is_signed, uint8_t* q, float* absmax, Nearest nearest) {
  if (nearest == Nearest::kBitsandbytesCpu) {
    const uint8_t* table = sixteen_bit_codes(is_signed).data();
    for_runs(n, block, [&](int64_t first, int64_t count, int64_t first_block) {
      for (int64_t i = 0; i < count; i += block) {
        encode_by_table(x + first + i, std::min(block, count - i), table, q + first + i, absmax + first_block++);
      }
    });
    return;
  }
  const auto thresholds = exact_thresholds(dynamic_code(is_signed).data());
  for_runs(n, block, [&](int64_t first, int64_t count, int64_t first_block) {
    kernels().encode8(x + first, count, block, thresholds.data(), q + first, absmax + first_block);
  });
}

void decode8(const uint8_t* q, const float* absmax, int64_t n, int64_t block, const float* code, float* x) {
  for_runs(n, block, [&](int64_t first, int64_t count, int64_t first_block) {
    kernels().decode8(q + first, absmax + first_block, count, block, code, x + first);
  });
}

}  // namespace peftlab
