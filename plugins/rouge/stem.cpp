#include "stem.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <vector>

namespace peftlab::rouge {
namespace {

/// Of each letter whether it is a consonant: none of a, e, i, o, u, and no y behind a consonant.
std::vector<bool> consonants(std::string_view word) {
  std::vector<bool> flags;
  for (size_t i = 0; i < word.size(); ++i) {
    const bool vowel = std::string_view("aeiou").find(word[i]) != std::string_view::npos;
    flags.push_back(word[i] == 'y' ? i == 0 || !flags[i - 1] : !vowel);
  }
  return flags;
}

/// The paper's m: how often a consonant follows a vowel.
int measure(std::string_view word) {
  const auto flags = consonants(word);
  int m = 0;
  for (size_t i = 1; i < flags.size(); ++i) m += !flags[i - 1] && flags[i] ? 1 : 0;
  return m;
}

/// The paper's *v*.
bool has_vowel(std::string_view word) {
  const auto flags = consonants(word);
  return std::find(flags.begin(), flags.end(), false) != flags.end();
}

/// The paper's *d.
bool ends_in_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && consonants(word).back();
}

/// The paper's *o: consonant, vowel, consonant that is not w, x or y; or only the last two of these, whatever they are.
bool ends_in_cvc(std::string_view word) {
  const auto flags = consonants(word);
  const size_t n = flags.size();
  if (n == 2) return !flags[0] && flags[1];
  return n >= 3 && flags[n - 3] && !flags[n - 2] && flags[n - 1] &&
         std::string_view("wxy").find(word.back()) == std::string_view::npos;
}

struct Rule {
  std::string_view suffix, replacement;
};

/// Applies the first rule whose suffix the word has, if what is left in front of it has a measure above `m`.
template <size_t size>
std::string replace_first(const std::string& word, const Rule (&rules)[size], int m) {
  for (const auto& [suffix, replacement] : rules) {
    if (!word.ends_with(suffix)) continue;
    const std::string stem = word.substr(0, word.size() - suffix.size());
    return measure(stem) > m ? stem + std::string(replacement) : word;
  }
  return word;
}

std::string step_1a(std::string word) {
  if (word.ends_with("ies")) return word.substr(0, word.size() - (word.size() == 4 ? 1 : 2));
  if (word.ends_with("sses")) return word.substr(0, word.size() - 2);
  if (word.ends_with("s") && !word.ends_with("ss")) word.pop_back();
  return word;
}

std::string step_1b(std::string word) {
  if (word.ends_with("ied")) return word.substr(0, word.size() - (word.size() == 4 ? 1 : 2));
  if (word.ends_with("eed"))
    return measure(word.substr(0, word.size() - 3)) > 0 ? word.substr(0, word.size() - 1) : word;
  const size_t cut = word.ends_with("ed") ? 2 : word.ends_with("ing") ? 3 : 0;
  if (cut == 0) return word;
  std::string stem = word.substr(0, word.size() - cut);
  if (!has_vowel(stem)) return word;
  if (stem.ends_with("at") || stem.ends_with("bl") || stem.ends_with("iz")) return stem + "e";
  if (ends_in_double_consonant(stem)) {
    if (std::string_view("lsz").find(stem.back()) == std::string_view::npos) stem.pop_back();
    return stem;
  }
  return measure(stem) == 1 && ends_in_cvc(stem) ? stem + "e" : stem;
}

std::string step_1c(std::string word) {
  if (word.size() > 2 && word.back() == 'y' && consonants(word)[word.size() - 2]) word.back() = 'i';
  return word;
}

std::string step_2(const std::string& word) {
  static constexpr Rule kRules[] = {{"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
                                    {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
                                    {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
                                    {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
                                    {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
                                    {"fulli", "ful"}};
  if (word.ends_with("alli") && measure(word.substr(0, word.size() - 4)) > 0) {
    return step_2(word.substr(0, word.size() - 2));
  }
  // The l of -logi counts to the stem, so that "geologi" has a measure.
  if (word.ends_with("logi")) {
    return measure(word.substr(0, word.size() - 3)) > 0 ? word.substr(0, word.size() - 1) : word;
  }
  return replace_first(word, kRules, 0);
}

std::string step_3(const std::string& word) {
  static constexpr Rule kRules[] = {{"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
                                    {"ical", "ic"},  {"ful", ""},   {"ness", ""}};
  return replace_first(word, kRules, 0);
}

std::string step_4(const std::string& word) {
  static constexpr Rule kRules[] = {{"al", ""},   {"ance", ""}, {"ence", ""},  {"er", ""},   {"ic", ""},  {"able", ""},
                                    {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""}, {"ent", ""}, {"ou", ""},
                                    {"ism", ""},  {"ate", ""},  {"iti", ""},   {"ous", ""},  {"ive", ""}, {"ize", ""}};
  // Of -ion the s or t in front counts to the stem.
  if (word.ends_with("ion")) {
    const std::string stem = word.substr(0, word.size() - 3);
    return measure(stem) > 1 && (stem.back() == 's' || stem.back() == 't') ? stem : word;
  }
  return replace_first(word, kRules, 1);
}

std::string step_5(std::string word) {
  if (word.ends_with("e")) {
    const std::string stem = word.substr(0, word.size() - 1);
    const int m = measure(stem);
    if (m > 1 || (m == 1 && !ends_in_cvc(stem))) word = stem;
  }
  if (word.ends_with("ll") && measure(word.substr(0, word.size() - 1)) > 1) word.pop_back();
  return word;
}

}  // namespace

std::string stem(std::string word) {
  static const std::map<std::string, std::string> irregular = {
      {"sky", "sky"},        {"skies", "sky"},       {"dying", "die"},        {"lying", "lie"},
      {"tying", "tie"},      {"news", "news"},       {"innings", "inning"},   {"inning", "inning"},
      {"outings", "outing"}, {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
      {"howe", "howe"},      {"proceed", "proceed"}, {"exceed", "exceed"},    {"succeed", "succeed"}};
  if (const auto found = irregular.find(word); found != irregular.end()) return found->second;
  if (word.size() <= 2) return word;
  return step_5(step_4(step_3(step_2(step_1c(step_1b(step_1a(std::move(word))))))));
}

}  // namespace peftlab::rouge
