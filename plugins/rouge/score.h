#pragma once

/// \file
/// ROUGE as rouge-score 0.1.2 computes it.
///
/// Source: Lin, "ROUGE: a package for automatic evaluation of summaries", Text Summarization Branches Out, 2004:
/// section 2 (n-grams), 3.1 (longest common subsequence), 3.2 (its union over the sentences of a summary).

#include <array>
#include <string>
#include <string_view>

namespace peftlab::rouge {

inline constexpr std::array kNames = {"rouge1", "rouge2", "rougeL", "rougeLsum"};

/// F-measures of one output against one reference, each in [0, 1], in the order of kNames.
using Scores = std::array<double, kNames.size()>;

/// Words are runs of ASCII letters and digits in lower case; with `stemmed`, those of more than three letters are cut to
/// their stems. rougeLsum takes lines for sentences.
Scores score(std::string_view reference, std::string_view output, bool stemmed);

}  // namespace peftlab::rouge
