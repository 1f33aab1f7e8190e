#pragma once

/// \file
/// What a plugin of kind "dataset" implements: examples of one data file, as text and pictures. How an example becomes
/// token ids is the model's matter (Model::encode), so one data set serves every model.

#include <peftlab/export.h>

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace peftlab {

/// How a model wants its pictures: RGB, resized to height x width, divided by 255, then (x - mean) / deviation.
struct ImageSpec {
  int64_t height = 224;
  int64_t width = 224;
  std::array<double, 3> mean = {0.0, 0.0, 0.0};
  std::array<double, 3> deviation = {1.0, 1.0, 1.0};

  bool operator==(const ImageSpec&) const = default;
};

/// One example as text. What is asked, what is to be answered.
struct Example {
  std::string prompt;      ///< empty for plain text
  std::string target;      ///< the answer that is trained and scored
  std::string label;       ///< of a classification; empty otherwise
  bool has_image = false;  ///< Dataset::image() gives its picture
};

/// The examples of one file. After open(), const members may be called from several threads at once.
class PEFTLAB_API Dataset {
 public:
  virtual ~Dataset();

  /// Reads `file`; with `images`, checks that every picture it names exists and can be decoded.
  /// Throws: FormatError naming file, line and what is wrong there. Called once, before anything else.
  virtual void open(const std::filesystem::path& file, const std::optional<ImageSpec>& images) = 0;

  virtual int64_t size() const = 0;

  /// Example `index`, 0 <= index < size().
  virtual Example example(int64_t index) const = 0;

  /// The picture of example `index`, float32 [3, height, width] in the form the ImageSpec asks for; an undefined tensor
  /// where there is none. Decoded at each call: nothing is kept.
  virtual torch::Tensor image(int64_t index) const;

  /// sha256 (hex) over all that decides the examples: the file's bytes and those of every picture, in order.
  virtual std::string fingerprint() const = 0;
};

}  // namespace peftlab
