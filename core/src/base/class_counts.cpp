#include <peftlab/class_counts.h>

#include <peftlab/error.h>

namespace peftlab {

std::string_view stripped(std::string_view text) {
  constexpr std::string_view kSpace = " \t\n\v\f\r";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::map<std::string, ClassCount> count_classes(Judged& judged, const std::string& metric) {
  const auto& references = judged.references();
  const auto& predictions = judged.predictions();
  std::map<std::string, ClassCount> counts;
  for (size_t i = 0; i < references.size(); ++i) {
    const auto fail = [&](const std::string& what) {
      throw FormatError(metric + ": example " + std::to_string(i + 1) + " has " + what);
    };
    std::optional<std::string> wanted;
    for (const auto& reference : references[i]) {
      if (!reference) continue;
      const std::string name(stripped(*reference));
      if (wanted && *wanted != name)
        fail("the references \"" + *wanted + "\" and \"" + name + "\"; wanted is one class");
      wanted = name;
    }
    if (!wanted) fail("no reference; every one needs its class");
    const std::string answer(stripped(predictions.at(i)));
    ++counts[*wanted].wanted;
    ++counts[answer].answered;
    if (answer == *wanted) ++counts[answer].right;
  }
  return counts;
}

}  // namespace peftlab
