#pragma once

/// \file
/// A data set that is written down in the test.

#include <peftlab/dataset.h>

#include <string>
#include <utility>
#include <vector>

namespace peftlab::testing {

/// Prompts and targets; no pictures.
class Texts final : public Dataset {
 public:
  explicit Texts(std::vector<std::pair<std::string, std::string>> pairs) : pairs_(std::move(pairs)) {}

  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return static_cast<int64_t>(pairs_.size()); }
  Example example(int64_t index) const override { return {.prompt = pairs_.at(index).first, .target = pairs_.at(index).second}; }
  std::string fingerprint() const override { return "texts"; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

}  // namespace peftlab::testing
