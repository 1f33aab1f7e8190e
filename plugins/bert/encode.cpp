#include "encode.h"

#include <peftlab/error.h>
#include <peftlab/text_rules.h>

#include <algorithm>

namespace peftlab::bert {
namespace {

int64_t mask_of(const Tokenizer& tokenizer) {
  for (const char* piece : {"[MASK]", "<mask>"}) {
    if (const auto id = tokenizer.id_of(piece)) return *id;
  }
  throw FormatError("the tokenizer has no mask token, neither [MASK] nor <mask>: a masked language model needs one");
}

std::string counted(size_t count, const std::string& thing) {
  return std::to_string(count) + " " + thing + (count == 1 ? "" : "s");
}

}  // namespace

Encoded encode_masked(const Example& example, const Tokenizer& tokenizer, const ModelFacts& facts, int64_t max_length,
                      bool with_target) {
  if (example.has_image) {
    throw UnsupportedError("an example has a picture, but model type " + facts.model_type + " reads text alone");
  }
  const std::string how =
      "ask a masked language model with a `prompt` that holds the mask token ([MASK] or <mask>) and a `completion` "
      "whose tokens fill it";
  if (!example.label.empty() && example.target.empty()) {
    throw UnsupportedError("an example has the label \"" + example.label +
                           "\", but this model has no classes: give it "
                           "some with `labels` under [model], or " +
                           how);
  }
  if (example.prompt.empty()) throw UnsupportedError("an example is plain text, in which nothing is asked: " + how);

  const int64_t mask = mask_of(tokenizer);
  Encoded encoded;
  encoded.tokens = tokenizer.encode_with_special_tokens(example.prompt);
  const auto fill = with_target ? tokenizer.encode(example.target) : std::vector<int64_t>{};
  const auto masks = static_cast<size_t>(std::count(encoded.tokens.begin(), encoded.tokens.end(), mask));
  if (with_target && (masks == 0 || masks != fill.size())) {
    throw FormatError("a prompt holds " + counted(masks, "mask") + " and its completion \"" + example.target +
                      "\" is " + counted(fill.size(), "token") + ": " + how +
                      ", one token for each mask and at least one");
  }
  if (static_cast<int64_t>(encoded.tokens.size()) > max_length) {
    encoded.tokens = tokenizer.encode_with_special_tokens(example.prompt, max_length);
  }
  check_ids(encoded.tokens, facts.vocabulary);
  check_ids(fill, facts.vocabulary);

  encoded.context = static_cast<int64_t>(encoded.tokens.size());
  encoded.labels.assign(encoded.tokens.size(), kNoLabel);
  size_t filled = 0;
  for (size_t i = 0; i < encoded.tokens.size() && filled < fill.size(); ++i) {
    if (encoded.tokens[i] == mask) encoded.labels[i] = fill[filled++];
  }
  if (with_target && filled == 0) {
    throw FormatError("no mask of a prompt lies within max_length (" + std::to_string(max_length) +
                      " tokens): give a larger max_length");
  }
  return encoded;
}

}  // namespace peftlab::bert
