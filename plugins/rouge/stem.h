#pragma once

/// \file
/// Porter's suffix stripping, in the variant that rouge-score uses.

#include <string>

namespace peftlab::rouge {

/// The stem of a lower-case English word: "running" and "runs" become "run".
///
/// Source: Porter, "An algorithm for suffix stripping", Program 14(3), 1980, with the changes that NLTK's PorterStemmer
/// makes by default: twelve irregular words, -ies and -ied of four letters, y after a vowel, -bli, -alli first, -fulli,
/// -logi, and a word of a vowel and a consonant ends as "cvc" does. The steps in the code are the paper's.
std::string stem(std::string word);

}  // namespace peftlab::rouge
