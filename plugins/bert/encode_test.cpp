/// From examples to ids and labels, with a tokenizer that anybody can read.

#include "test_support.h"

#include <gmock/gmock.h>

namespace peftlab::bert {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr int64_t kBegin = 40, kEnd = 41, kMask = 42;

/// A letter is its number in the alphabet from 0, "_" is the mask, and a text stands between two special tokens.
class Letters final : public Tokenizer {
 public:
  explicit Letters(std::string mask = "[MASK]") : mask_(std::move(mask)) {}

  std::vector<int64_t> encode(const std::string& text) const override {
    std::vector<int64_t> ids;
    for (const char c : text) ids.push_back(c == '_' ? kMask : c - 'a');
    return ids;
  }
  std::vector<int64_t> encode_with_special_tokens(const std::string& text, int64_t max_length) const override {
    auto ids = encode(text);
    if (max_length > 0 && static_cast<int64_t>(ids.size()) > max_length - 2) ids.resize(max_length - 2);
    ids.insert(ids.begin(), kBegin);
    ids.push_back(kEnd);
    return ids;
  }
  std::string decode(const std::vector<int64_t>&) const override { return ""; }
  std::optional<int64_t> id_of(const std::string& piece) const override {
    return piece == mask_ ? std::optional(kMask) : std::nullopt;
  }
  int64_t size() const override { return 43; }

 private:
  std::string mask_;
};

Example asked(const std::string& prompt, const std::string& target) {
  return {.prompt = prompt, .target = target, .label = ""};
}

template <typename Error>
std::string refusal(const Example& example, int64_t max_length = 24, const std::string& mask = "[MASK]") {
  try {
    open_model("bert_masked")->encode(example, Letters(mask), max_length, true);
  } catch (const Error& error) {
    return error.what();
  }
  return "taken";
}

TEST(BertEncode, AMaskIsToBecomeTheTokenThatFillsIt) {
  for (const char* mask : {"[MASK]", "<mask>"}) {
    const auto encoded = open_model("bert_masked")->encode(asked("a_bc_", "xy"), Letters(mask), 24, true);
    EXPECT_THAT(encoded.tokens, ElementsAre(kBegin, 0, kMask, 1, 2, kMask, kEnd));
    const int64_t no = kNoLabel;
    EXPECT_THAT(encoded.labels, ElementsAre(no, no, 23, no, no, 24, no));
    EXPECT_EQ(encoded.context, 7);
    EXPECT_EQ(encoded.class_at, -1);
  }
}

TEST(BertEncode, APromptAloneHasNoLabels) {
  const auto encoded = open_model("bert_masked")->encode(asked("a_", "xyz"), Letters(), 24, false);
  EXPECT_THAT(encoded.tokens, ElementsAre(kBegin, 0, kMask, kEnd));
  EXPECT_THAT(encoded.labels, ElementsAre(kNoLabel, kNoLabel, kNoLabel, kNoLabel));
}

TEST(BertEncode, MasksThatAreCutAwayAreNotAskedFor) {
  const auto encoded = open_model("bert_masked")->encode(asked("a_bc_", "xy"), Letters(), 5, true);
  EXPECT_THAT(encoded.tokens, ElementsAre(kBegin, 0, kMask, 1, kEnd));
  EXPECT_THAT(encoded.labels, ElementsAre(kNoLabel, kNoLabel, 23, kNoLabel, kNoLabel));
  EXPECT_THAT(refusal<FormatError>(asked("abc_", "x"), 5), HasSubstr("no mask of a prompt lies within max_length (5"));
}

TEST(BertEncode, AsManyTokensAsMasks) {
  EXPECT_THAT(refusal<FormatError>(asked("a_b_", "xyz")),
              HasSubstr("holds 2 masks and its completion \"xyz\" is 3 tokens"));
  EXPECT_THAT(refusal<FormatError>(asked("a_b", "")), HasSubstr("holds 1 mask and its completion \"\" is 0 tokens"));
  EXPECT_THAT(refusal<FormatError>(asked("ab", "x")), HasSubstr("holds 0 masks and its completion \"x\" is 1 token:"));
  EXPECT_THAT(refusal<FormatError>(asked("ab", "")), HasSubstr("at least one"));
}

TEST(BertEncode, WhatCannotBeAskedSaysHowToAsk) {
  EXPECT_THAT(refusal<UnsupportedError>(asked("", "plain text")), HasSubstr("`prompt` that holds the mask token"));
  EXPECT_THAT(refusal<UnsupportedError>({.prompt = "a", .target = "", .label = "good"}),
              HasSubstr("`labels` under [model]"));
  EXPECT_THAT(refusal<UnsupportedError>({.prompt = "a", .target = "b", .label = "", .has_image = true}),
              HasSubstr("picture"));
  EXPECT_THAT(refusal<FormatError>(asked("a_", "x"), 24, "<extra>"), HasSubstr("has no mask token"));
}

TEST(BertEncode, AClassIsReadAtTheFirstToken) {
  const auto encoded =
      open_model("bert_class")->encode({.prompt = "", .target = "abcd", .label = "good"}, Letters(), 5, true);
  EXPECT_THAT(encoded.tokens, ElementsAre(kBegin, 0, 1, 2, kEnd));
  EXPECT_THAT(encoded.labels, ElementsAre(2, kNoLabel, kNoLabel, kNoLabel, kNoLabel));
  EXPECT_EQ(encoded.class_at, 0);
  EXPECT_EQ(encoded.context, 5);
}

}  // namespace
}  // namespace peftlab::bert
