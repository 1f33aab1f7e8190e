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
  std::string label;       ///< of a classification: a name or a number; empty otherwise
  bool has_image = false;  ///< Dataset::image() gives its picture
};

/// A class and the words that stand for it where a model answers in words: "positive" as " great".
struct Choice {
  std::string label;
  std::string text;

  bool operator==(const Choice&) const = default;
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

  /// Where example `index` stands, for messages: "data.csv:17". By default its number, from 1.
  virtual std::string place(int64_t index) const;

  /// The picture of example `index`, float32 [3, height, width] in the form the ImageSpec asks for; an undefined tensor
  /// where there is none. Decoded at each call: nothing is kept.
  virtual torch::Tensor image(int64_t index) const;

  /// Where examples are classified by a model that answers in words: the classes, each with its words. An example's
  /// target is then one of these texts, and what the model answers is the label whose text is likeliest. Else empty.
  virtual std::vector<Choice> choices() const { return {}; }

  /// Whether examples without a prompt are to be trained on end to end, in rows of exactly `max_length` tokens, instead
  /// of one by one. Concerns training only.
  virtual bool packed() const { return false; }

  /// The training split, from which a data set may take examples to show in its prompts. Called at most once, after
  /// open() and before the first example(); for the training split it is the object itself. By default nothing.
  virtual void demonstrate_with(const Dataset& train);

  /// sha256 (hex) over all that decides the examples: the file's bytes and those of every picture, in order.
  virtual std::string fingerprint() const = 0;
};

}  // namespace peftlab
