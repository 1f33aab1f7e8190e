#pragma once

/// \file
/// What `peftlab predict` and `eval` are asked about: one prompt without a file, or a file of some kind.

#include <peftlab/dataset.h>

#include <filesystem>
#include <string>

namespace peftlab::evaluate {

/// A data set of one example: a prompt, no picture, nothing to compare the answer with.
class SinglePrompt final : public Dataset {
 public:
  explicit SinglePrompt(std::string prompt) : prompt_(std::move(prompt)) {}

  /// There is no file to open.
  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return 1; }
  Example example(int64_t) const override { return {.prompt = prompt_, .target = "", .label = "", .has_image = false}; }
  std::string fingerprint() const override;

 private:
  std::string prompt_;
};

/// The data set plugin for a file when none is named: "image_text" if its beginning names pictures (a column or key
/// image_path or img), else "text". A file that cannot be read is left for the plugin to refuse.
std::string dataset_for(const std::filesystem::path& file);

}  // namespace peftlab::evaluate
