#pragma once

/// \file
/// What metrics of classifications count: how often each class was wanted, answered, and rightly answered.

#include <peftlab/export.h>
#include <peftlab/metric.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace peftlab {

struct ClassCount {
  int64_t wanted = 0;    ///< examples whose reference is this class
  int64_t answered = 0;  ///< examples whose prediction is this class
  int64_t right = 0;     ///< examples where both are

  bool operator==(const ClassCount&) const = default;
};

/// Every class that occurs in references or predictions, by name. Names are compared byte for byte once ASCII white
/// space at both ends is dropped. `metric` names the asker in messages.
/// Throws: FormatError for an example that has no reference, or several that differ.
PEFTLAB_API std::map<std::string, ClassCount> count_classes(Judged& judged, const std::string& metric);

/// `text` without ASCII white space at both ends; a part of it.
PEFTLAB_API std::string_view stripped(std::string_view text);

}  // namespace peftlab
