#include "picture.h"

#include <peftlab/error.h>

#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include <cstring>
#include <string_view>

namespace peftlab::image_text {
namespace {

constexpr const char* kReadable = "PNG, JPEG, WebP, BMP, TIFF and PNM are read";

/// Whether `bytes` begin as a file of a kind that is read: OpenCV would try many more, each with rules of its own.
bool is_readable_kind(std::string_view bytes) {
  using namespace std::literals;
  const bool webp =
      bytes.starts_with("RIFF"sv) && bytes.substr(std::min<size_t>(bytes.size(), 8)).starts_with("WEBP"sv);
  const bool pnm = bytes.size() > 2 && bytes[0] == 'P' && '1' <= bytes[1] && bytes[1] <= '6';
  return webp || pnm || bytes.starts_with("\x89PNG\r\n\x1a\n"sv) || bytes.starts_with("\xFF\xD8\xFF"sv) ||
         bytes.starts_with("BM"sv) || bytes.starts_with("II*\0"sv) || bytes.starts_with("MM\0*"sv);
}

/// Refuses JPEGs that libjpeg would make something of all the same: cut ones (the rest would be grey or stale memory)
/// and CMYK (whose colours depend on conventions that the file does not tell).
void check_jpeg(std::string_view bytes) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[i]); };
  constexpr const char* kCut = "the JPEG ends before its end marker";
  size_t i = 2;
  for (;;) {
    // Entropy-coded data lies between a scan's header and the next marker: FF 00 and restart markers belong to it.
    while (i + 1 < bytes.size() && !(byte(i) == 0xFF && byte(i + 1) != 0x00 && byte(i + 1) != 0xFF &&
                                     (byte(i + 1) < 0xD0 || byte(i + 1) > 0xD7))) {
      ++i;
    }
    if (i + 1 >= bytes.size()) throw FormatError(kCut);
    const int marker = byte(i + 1);
    if (marker == 0xD9) return;
    if (i + 3 >= bytes.size()) throw FormatError(kCut);
    const size_t length = byte(i + 2) * 256u + byte(i + 3);
    const bool frame = 0xC0 <= marker && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (frame && i + 9 < bytes.size() && byte(i + 9) == 4) {
      throw FormatError("is a CMYK JPEG, whose colours are not told by the file alone: convert it to RGB");
    }
    i += 2 + length;
  }
}

/// The grey level that a PNG without an alpha channel calls clear (chunk tRNS), as its samples are once decoded; -1 if
/// there is none. OpenCV reads that chunk for colours only.
int clear_grey(std::string_view bytes) {
  const auto number = [&](size_t at, size_t count) {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  constexpr size_t kHeader = 8, kChunkFrame = 12;  // a chunk: length, name, data, checksum
  if (bytes.size() < kHeader + kChunkFrame + 13 || !bytes.starts_with("\x89PNG")) return -1;
  const uint32_t depth = number(kHeader + 16, 1), color_type = number(kHeader + 17, 1);
  if (color_type != 0) return -1;
  for (size_t at = kHeader; at + kChunkFrame <= bytes.size(); at += kChunkFrame + number(at, 4)) {
    const std::string_view name = bytes.substr(at + 4, 4);
    if (name == "IDAT") break;
    if (name != "tRNS" || at + kChunkFrame + 2 > bytes.size()) continue;
    const int level = static_cast<int>(number(at + 8, 2));
    return depth < 8 ? level * 255 / ((1 << depth) - 1) : level;
  }
  return -1;
}

/// c of 0..255 with opacity a of 0..255 over white, rounded.
uint8_t on_white(int c, int a) { return static_cast<uint8_t>((c * a + 255 * (255 - a) + 127) / 255); }

/// BGR(A) or grey of 8 or 16 bits, rows of `image`, to RGB on white. Grey of level `clear` is white too.
template <typename Sample>
Picture to_rgb(const cv::Mat& image, int clear) {
  constexpr int kShift = 8 * (sizeof(Sample) - 1);
  const int channels = image.channels();
  Picture out{image.cols, image.rows, {}};
  out.pixels.reserve(static_cast<size_t>(out.width * out.height * 3));
  for (int y = 0; y < image.rows; ++y) {
    const Sample* from = image.ptr<Sample>(y);
    for (int x = 0; x < image.cols; ++x, from += channels) {
      const int alpha = channels == 4 ? from[3] >> kShift : channels == 1 && from[0] == clear ? 0 : 255;
      for (const int c : {2, 1, 0}) {
        const int value = from[channels == 1 ? 0 : c] >> kShift;
        out.pixels.push_back(alpha == 255 ? static_cast<uint8_t>(value) : on_white(value, alpha));
      }
    }
  }
  return out;
}

}  // namespace

Picture decode(const std::string& bytes) {
  if (bytes.empty()) throw FormatError("the file is empty");
  if (!is_readable_kind(bytes)) throw FormatError(std::string("is no picture of a kind that is read; ") + kReadable);
  if (bytes.starts_with("\xFF\xD8\xFF")) check_jpeg(bytes);

  cv::Mat image;
  try {
    const cv::Mat encoded(1, static_cast<int>(bytes.size()), CV_8UC1, const_cast<char*>(bytes.data()));
    image = cv::imdecode(encoded, cv::IMREAD_UNCHANGED);
  } catch (const cv::Exception& error) {
    throw FormatError("cannot be decoded: " + error.err);
  }
  if (image.empty()) throw FormatError("cannot be decoded: it is broken or cut");
  const int channels = image.channels();
  const bool known_channels = channels == 1 || channels == 3 || channels == 4;
  if (known_channels && image.depth() == CV_8U) return to_rgb<uint8_t>(image, clear_grey(bytes));
  if (known_channels && image.depth() == CV_16U) return to_rgb<uint16_t>(image, clear_grey(bytes));
  throw FormatError("has pixels of a kind that is not read (" + cv::typeToString(image.type()) +
                    "): wanted are 8 or 16 bits, grey or RGB, with or without alpha");
}

}  // namespace peftlab::image_text
