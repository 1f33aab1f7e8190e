#pragma once

/// \file
/// Reads expected.json beside it: corpora with what scikit-learn, rouge-score and sacreBLEU answer for them.

#include <nlohmann/json.hpp>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace peftlab::oracle {

/// The cases of one group: "classes", "rouge", "chrf" or "stems".
inline const nlohmann::json& metric_cases(const char* group) {
  static const nlohmann::json all = [] {
    const char* root = std::getenv("PEFTLAB_SOURCE_DIR");
    if (root == nullptr) throw std::runtime_error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
    std::ifstream file(std::string(root) + "/tests/oracle/metrics/expected.json");
    return nlohmann::json::parse(file);
  }();
  return all.at(group);
}

inline std::vector<std::string> texts(const nlohmann::json& list) { return list.get<std::vector<std::string>>(); }

using References = std::vector<std::vector<std::optional<std::string>>>;

/// A list of texts as one reference an example.
inline References single(const nlohmann::json& list) {
  References references;
  for (const auto& text : list) references.push_back({text.get<std::string>()});
  return references;
}

/// A list of lists of texts, null where one is missing.
inline References several(const nlohmann::json& list) {
  References references;
  for (const auto& example : list) {
    auto& known = references.emplace_back();
    for (const auto& text : example) {
      known.push_back(text.is_null() ? std::nullopt : std::optional(text.get<std::string>()));
    }
  }
  return references;
}

}  // namespace peftlab::oracle
