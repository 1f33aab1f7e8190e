#include <peftlab/error.h>
#include <peftlab/params.h>
#include <peftlab/text_rules.h>

#include <algorithm>
#include <charconv>

namespace peftlab {
namespace {

void refuse_picture(const Example& example, const ModelFacts& facts) {
  if (!example.has_image) return;
  throw UnsupportedError("an example has a picture, but model type " + facts.model_type + " reads text alone");
}

void append(std::vector<int64_t>& to, const std::vector<int64_t>& ids) { to.insert(to.end(), ids.begin(), ids.end()); }

}  // namespace

Encoded encode_causal(const Example& example, const Tokenizer& tokenizer, const ModelFacts& facts,
                      std::optional<int64_t> begin, int64_t max_length, bool with_target) {
  refuse_picture(example, facts);
  if (!example.label.empty() && example.prompt.empty()) {
    throw UnsupportedError("an example has the label \"" + example.label +
                           "\", but this model answers in words: give it classes with `labels` under [model], or give "
                           "the data a `template` and a `verbalizer`");
  }
  Encoded encoded;
  std::vector<int64_t>& tokens = encoded.tokens;
  if (!example.prompt.empty()) tokens = tokenizer.encode(example.prompt);
  const size_t asked = tokens.size();
  if (with_target) {
    append(tokens, tokenizer.encode(example.target));
    if (!facts.end_of_sequence.empty()) tokens.push_back(facts.end_of_sequence.front());
  } else if (tokens.empty()) {
    if (!begin)
      throw ConfigError("an empty prompt cannot be answered: config.json names no bos_token_id to begin with");
    tokens.push_back(*begin);
  }
  if (static_cast<int64_t>(tokens.size()) > max_length) tokens.resize(max_length);
  check_ids(tokens, facts.vocabulary);
  encoded.labels.assign(tokens.size(), kNoLabel);
  for (size_t i = std::max<size_t>(asked, 1); with_target && i < tokens.size(); ++i) encoded.labels[i - 1] = tokens[i];
  return encoded;
}

Encoded encode_class(const Example& example, const Tokenizer& tokenizer, const ModelFacts& facts, bool at_end,
                     int64_t max_length, bool with_target) {
  refuse_picture(example, facts);
  Encoded encoded;
  encoded.tokens = tokenizer.encode_with_special_tokens(example.prompt + example.target, max_length);
  if (encoded.tokens.empty()) throw FormatError("a text to be classified has no tokens: \"" + example.target + "\"");
  check_ids(encoded.tokens, facts.vocabulary);
  encoded.class_at = at_end ? static_cast<int64_t>(encoded.tokens.size()) - 1 : 0;
  encoded.labels.assign(encoded.tokens.size(), kNoLabel);
  if (with_target) encoded.labels[encoded.class_at] = class_number(example.label, facts.labels);
  return encoded;
}

int64_t class_number(const std::string& label, const std::vector<std::string>& labels) {
  const auto named = std::find(labels.begin(), labels.end(), label);
  if (named != labels.end()) return named - labels.begin();
  int64_t number = -1;
  const auto [end, error] = std::from_chars(label.data(), label.data() + label.size(), number);
  const auto count = static_cast<int64_t>(labels.size());
  if (error == std::errc() && end == label.data() + label.size() && 0 <= number && number < count) return number;
  if (label.empty()) throw FormatError("an example has no `label`, which a classifier needs");
  throw FormatError("label \"" + label + "\" is none of the model's " + std::to_string(count) + " classes. " +
                    suggestion(label, labels));
}

void check_ids(const std::vector<int64_t>& ids, int64_t vocabulary) {
  for (const int64_t id : ids) {
    if (0 <= id && id < vocabulary) continue;
    throw FormatError("the tokenizer gave id " + std::to_string(id) + ", config.json's vocab_size is " +
                      std::to_string(vocabulary) + ": they do not belong together");
  }
}

}  // namespace peftlab
