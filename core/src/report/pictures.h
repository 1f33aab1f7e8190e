#pragma once

/// \file
/// The first test examples with every method's prediction beside the reference.

#include "store/store.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::report {

struct Prediction {
  std::string label, text;
  std::optional<double> score;  ///< of the primary metric, where it scores examples
};

struct Example {
  std::string name, prompt, reference;
  std::string image;     ///< a data URI; empty: none
  std::string no_image;  ///< why there is none, where the example has one
  std::vector<Prediction> predictions;
};

struct Examples {
  std::optional<int64_t> seed;  ///< the least that every method with predictions has; absent: there is none
  std::vector<Example> examples;
};

/// `labels` in the order of the page; `runs` of the experiment. Predictions that the store lost are an error of the store.
/// Throws: StoreError; FormatError if the file is not one JSON object a line.
Examples read_examples(const store::Store& store, const std::vector<store::RunDetail>& runs,
                       const std::vector<std::string>& labels, const std::string& primary, size_t limit = 12);

std::string render_examples(const Examples& examples, const std::string& primary);

}  // namespace peftlab::report
