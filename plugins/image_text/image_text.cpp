/// Pictures with texts: what fine-tuning a model that sees needs.
///
/// A data file is CSV, a JSON array or JSON lines, with image_path and text (or VisualGLM's img and label), and
/// perhaps a prompt for each. Paths are relative to the data file. At open() every picture is read and decoded once,
/// so that one that is missing or broken is found before training starts; none is kept. image() reads it again, in
/// whatever thread asks, and refuses a file that has changed since.
///
/// A picture becomes RGB on white (picture.h), is resized as Pillow does (resize.h), divided by 255 and normalized.

#include "picture.h"
#include "resize.h"
#include "table.h"

#include <peftlab/dataset.h>
#include <peftlab/error.h>
#include <peftlab/plugin.h>
#include <peftlab/sample.h>

#include <openssl/evp.h>
#include <opencv2/core/utils/logger.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace peftlab {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path, error);
  if (error) throw FormatError("cannot be read: " + error.message());
  // OpenCV counts bytes in an int.
  if (size > static_cast<uintmax_t>(std::numeric_limits<int>::max())) {
    throw FormatError("is too large: " + std::to_string(size) + " bytes");
  }
  std::ifstream stream(path, std::ios::binary);
  std::string bytes(size, '\0');
  stream.read(bytes.data(), static_cast<std::streamsize>(size));
  if (!stream) throw FormatError("cannot be read: " + std::string(std::strerror(errno)));
  return bytes;
}

using Digest = std::array<unsigned char, 32>;

class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) { EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr); }
  void add(const void* data, size_t bytes) { EVP_DigestUpdate(context_.get(), data, bytes); }
  Digest finish() {
    Digest digest;
    EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr);
    return digest;
  }

 private:
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

Digest sha256(const std::string& bytes) {
  Sha256 sum;
  sum.add(bytes.data(), bytes.size());
  return sum.finish();
}

/// A picture file that one or more examples name.
struct PictureFile {
  fs::path path;
  int64_t line;  // of the first example that names it
  Digest digest = {};
  std::string problem;  // empty: none
};

class ImageText final : public Dataset {
 public:
  explicit ImageText(Params& p)
      : prompt_(p.get("prompt", "Describe the image:", "asked where an example has no prompt of its own")) {
    // A broken picture is reported with its place in the data file; OpenCV's own lines would stand beside that.
    cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  }

  void open(const fs::path& file, const std::optional<ImageSpec>& images) override {
    file_ = file;
    images_ = images;
    Sha256 sum;
    rows_ = image_text::read_table(file, [&](std::string_view bytes) { sum.add(bytes.data(), bytes.size()); });
    if (images_) find_pictures();

    for (const size_t picture : picture_of_) sum.add(files_[picture].digest.data(), files_[picture].digest.size());
    fingerprint_.clear();
    for (const unsigned char byte : sum.finish()) {
      constexpr char kDigits[] = "0123456789abcdef";
      fingerprint_ += {kDigits[byte >> 4], kDigits[byte & 15]};
    }
  }

  int64_t size() const override { return static_cast<int64_t>(rows_.size()); }

  Example example(int64_t index) const override {
    const image_text::Row& row = rows_.at(index);
    return {.prompt = row.prompt.value_or(prompt_), .target = row.text, .label = "", .has_image = images_.has_value()};
  }

  torch::Tensor image(int64_t index) const override {
    if (!images_) return {};
    const PictureFile& file = files_[picture_of_.at(index)];
    try {
      const std::string bytes = read_file(file.path);
      if (sha256(bytes) != file.digest) throw FormatError("has changed since the data file was opened");
      return to_tensor(image_text::resize(image_text::decode(bytes), images_->width, images_->height));
    } catch (const FormatError& error) {
      throw FormatError(describe(file, rows_[index].line, error.what()));
    }
  }

  std::string fingerprint() const override { return fingerprint_; }

  /// Two pictures of a few pixels, in the plainest format there is.
  static fs::path write_sample(const fs::path& folder) {
    sample_file(folder / "red.ppm", "P3 2 2 255 255 0 0 200 10 10 255 0 0 180 0 0\n");
    sample_file(folder / "blue.ppm", "P3 3 1 255 0 0 255 10 10 240 0 0 200\n");
    return sample_file(folder / "sample.csv", "image_path,text\nred.ppm,a red square\nblue.ppm,a blue line\n");
  }

 private:
  std::string describe(const PictureFile& file, int64_t line, const std::string& problem) const {
    return file_.string() + ":" + std::to_string(line) + ": picture " + file.path.string() + ": " + problem;
  }

  /// Lists the picture files, each once, then reads and decodes them all.
  void find_pictures() {
    std::map<fs::path, size_t> places;
    for (const image_text::Row& row : rows_) {
      const fs::path path = file_.parent_path() / row.image_path;
      const auto [place, added] = places.try_emplace(path, files_.size());
      if (added) files_.push_back({path, row.line, {}, {}});
      picture_of_.push_back(place->second);
    }
    check_pictures();

    constexpr size_t kShown = 5;
    std::string problems;
    size_t count = 0;
    for (const PictureFile& file : files_) {
      if (file.problem.empty()) continue;
      if (++count > kShown) continue;
      if (count > 1) problems += '\n';
      problems += describe(file, file.line, file.problem);
    }
    if (count > kShown) problems.append("\nand ").append(std::to_string(count - kShown)).append(" more pictures");
    if (count > 0) throw FormatError(problems);
  }

  void check_pictures() {
    std::atomic<size_t> next = 0;
    const auto work = [&] {
      for (size_t i = next++; i < files_.size(); i = next++) {
        try {
          const std::string bytes = read_file(files_[i].path);
          files_[i].digest = sha256(bytes);
          image_text::decode(bytes);
        } catch (const std::exception& error) {
          files_[i].problem = error.what();
        }
      }
    };
    const size_t threads = std::clamp<size_t>(std::thread::hardware_concurrency(), 1, 8);
    std::vector<std::jthread> workers;
    for (size_t t = 1; t < std::min(threads, files_.size()); ++t) workers.emplace_back(work);
    work();
  }

  /// float32 [3, height, width]: (pixel / 255 - mean) / deviation, each step rounded to float32 as torchvision's are.
  torch::Tensor to_tensor(const image_text::Picture& picture) const {
    torch::Tensor tensor = torch::empty({3, picture.height, picture.width}, torch::kFloat32);
    float* to = tensor.data_ptr<float>();
    const size_t pixels = picture.pixels.size() / 3;
    for (size_t c = 0; c < 3; ++c) {
      const auto mean = static_cast<float>(images_->mean[c]);
      const auto deviation = static_cast<float>(images_->deviation[c]);
      std::array<float, 256> table;
      for (int value = 0; value < 256; ++value) table[value] = (static_cast<float>(value) / 255.0f - mean) / deviation;
      for (size_t i = 0; i < pixels; ++i) *to++ = table[picture.pixels[i * 3 + c]];
    }
    return tensor;
  }

  std::string prompt_;
  fs::path file_;
  std::optional<ImageSpec> images_;
  std::vector<image_text::Row> rows_;
  std::vector<PictureFile> files_;
  std::vector<size_t> picture_of_;  // example -> place in files_
  std::string fingerprint_;
};

}  // namespace

PEFTLAB_PLUGIN(Dataset, ImageText, "image_text", "pictures with texts, from CSV, a JSON array or JSON lines",
               "VisualGLM-6B's FewShotDataset; Pillow 13 for resizing", "")

}  // namespace peftlab
