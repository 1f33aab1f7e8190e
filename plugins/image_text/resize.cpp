#include "resize.h"

#include <algorithm>
#include <cmath>

namespace peftlab::image_text {
namespace {

constexpr int kFractionBits = 22;  // of weights: 8 bits of a pixel, 2 to spare, and the sign make 32 with them
constexpr double kSupport = 2.0;   // of the kernel, in pixels of the coarser of the two pictures

/// Keys' cubic convolution kernel with a = -0.5.
double cubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

/// One output pixel along an axis: weights of the input pixels first, first + 1, ...
struct Taps {
  int64_t first = 0;
  std::vector<int32_t> weights;  // in units of 2^-22; they sum to about 1
};

std::vector<Taps> taps_of(int64_t in, int64_t out) {
  const double scale = static_cast<double>(in) / static_cast<double>(out);
  const double stretch = std::max(scale, 1.0);
  const double support = kSupport * stretch;
  std::vector<Taps> taps(out);
  std::vector<double> weights;
  for (int64_t o = 0; o < out; ++o) {
    const double center = (static_cast<double>(o) + 0.5) * scale;
    // Conversion to an integer cuts towards zero, as in C: a slightly negative begin becomes 0.
    const int64_t begin = std::max<int64_t>(static_cast<int64_t>(center - support + 0.5), 0);
    const int64_t end = std::min(static_cast<int64_t>(center + support + 0.5), in);
    weights.clear();
    double sum = 0;
    for (int64_t x = begin; x < end; ++x) {
      weights.push_back(cubic((static_cast<double>(x) - center + 0.5) * (1.0 / stretch)));
      sum += weights.back();
    }
    taps[o].first = begin;
    for (double weight : weights) {
      const double scaled = (sum != 0.0 ? weight / sum : weight) * (1 << kFractionBits);
      taps[o].weights.push_back(static_cast<int32_t>(scaled < 0 ? scaled - 0.5 : scaled + 0.5));
    }
  }
  return taps;
}

uint8_t to_pixel(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

constexpr int32_t kHalf = 1 << (kFractionBits - 1);

Picture resize_width(const Picture& in, int64_t width) {
  if (in.width == width) return in;
  const std::vector<Taps> taps = taps_of(in.width, width);
  Picture out{width, in.height, std::vector<uint8_t>(static_cast<size_t>(width * in.height * 3))};
  uint8_t* to = out.pixels.data();
  for (int64_t y = 0; y < in.height; ++y) {
    const uint8_t* row = in.pixels.data() + y * in.width * 3;
    for (const Taps& tap : taps) {
      int32_t red = kHalf, green = kHalf, blue = kHalf;
      const uint8_t* from = row + tap.first * 3;
      for (const int32_t weight : tap.weights) {
        red += weight * from[0];
        green += weight * from[1];
        blue += weight * from[2];
        from += 3;
      }
      *to++ = to_pixel(red);
      *to++ = to_pixel(green);
      *to++ = to_pixel(blue);
    }
  }
  return out;
}

Picture resize_height(const Picture& in, int64_t height) {
  if (in.height == height) return in;
  const std::vector<Taps> taps = taps_of(in.height, height);
  const int64_t row = in.width * 3;
  Picture out{in.width, height, std::vector<uint8_t>(static_cast<size_t>(row * height))};
  std::vector<int32_t> sums(row);
  uint8_t* to = out.pixels.data();
  for (const Taps& tap : taps) {
    std::fill(sums.begin(), sums.end(), kHalf);
    const uint8_t* from = in.pixels.data() + tap.first * row;
    for (const int32_t weight : tap.weights) {
      for (int64_t x = 0; x < row; ++x) sums[x] += weight * from[x];
      from += row;
    }
    for (const int32_t sum : sums) *to++ = to_pixel(sum);
  }
  return out;
}

}  // namespace

Picture resize(const Picture& picture, int64_t width, int64_t height) {
  // Pillow 13 takes the height first where it loses more than twice as many rows as the width loses columns.
  const int64_t rows_lost = picture.height - height, columns_lost = picture.width - width;
  const bool height_first = rows_lost > 0 && rows_lost > 2 * columns_lost;
  if (height_first) return resize_width(resize_height(picture, height), width);
  return resize_height(resize_width(picture, width), height);
}

}  // namespace peftlab::image_text
