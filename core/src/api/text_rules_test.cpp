/// The rules by which text becomes ids and labels, on a tokenizer of one id a character.

#include <peftlab/error.h>
#include <peftlab/text_rules.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// 'a' is 10, 'b' is 11, ...; [1 ... 2] around a text.
class Letters final : public Tokenizer {
 public:
  std::vector<int64_t> encode(const std::string& text) const override {
    std::vector<int64_t> ids;
    for (const char c : text) ids.push_back(10 + c - 'a');
    return ids;
  }
  std::vector<int64_t> encode_with_special_tokens(const std::string& text, int64_t max_length) const override {
    auto ids = encode(text);
    if (max_length > 0 && static_cast<int64_t>(ids.size()) > max_length - 2) ids.resize(max_length - 2);
    ids.insert(ids.begin(), 1);
    ids.push_back(2);
    return ids;
  }
  std::string decode(const std::vector<int64_t>&) const override { return ""; }
  std::optional<int64_t> id_of(const std::string&) const override { return std::nullopt; }
  int64_t size() const override { return 36; }
};

constexpr int64_t kNone = kNoLabel;

class TextRules : public ::testing::Test {
 protected:
  TextRules() {
    facts.model_type = "toy";
    facts.vocabulary = 36;
    facts.end_of_sequence = {3, 4};
    facts.labels = {"cat", "dog", "7"};
  }
  Encoded causal(const Example& example, int64_t max_length = 100, bool with_target = true) const {
    return encode_causal(example, letters, facts, 5, max_length, with_target);
  }

  Letters letters;
  ModelFacts facts;
};

TEST_F(TextRules, LabelsLieOnTheAnswerAndItsEnd) {
  const auto encoded = causal({.prompt = "ab", .target = "cd"});
  EXPECT_THAT(encoded.tokens, ElementsAre(10, 11, 12, 13, 3));
  EXPECT_THAT(encoded.labels, ElementsAre(kNone, 12, 13, 3, kNone));
  EXPECT_EQ(encoded.context, 0);
}

TEST_F(TextRules, PlainTextIsLabelledFromItsSecondTokenOn) {
  const auto encoded = causal({.target = "abc"});
  EXPECT_THAT(encoded.tokens, ElementsAre(10, 11, 12, 3));
  EXPECT_THAT(encoded.labels, ElementsAre(11, 12, 3, kNone));
}

TEST_F(TextRules, WhatIsTooLongIsCutAtItsEnd) {
  EXPECT_THAT(causal({.prompt = "ab", .target = "cd"}, 4).labels, ElementsAre(kNone, 12, 13, kNone));
  EXPECT_THAT(causal({.prompt = "abc", .target = "d"}, 2).tokens, ElementsAre(10, 11));
  EXPECT_THAT(causal({.prompt = "abc", .target = "d"}, 2).labels, ElementsAre(kNone, kNone));
}

TEST_F(TextRules, APromptAloneHasNoLabelsAndAnEmptyOneBegins) {
  EXPECT_THAT(causal({.prompt = "ab", .target = "cd"}, 100, false).tokens, ElementsAre(10, 11));
  EXPECT_THAT(causal({.prompt = "ab"}, 100, false).labels, ElementsAre(kNone, kNone));
  EXPECT_THAT(causal({}, 100, false).tokens, ElementsAre(5));
  EXPECT_THAT([&] { encode_causal({}, letters, facts, std::nullopt, 9, false); },
              ThrowsMessage<ConfigError>(HasSubstr("no bos_token_id")));
}

TEST_F(TextRules, AClassIsReadAtTheFirstOrTheLastToken) {
  const Example example{.target = "abc", .label = "dog"};
  const auto first = encode_class(example, letters, facts, /*at_end=*/false, 100, true);
  EXPECT_THAT(first.tokens, ElementsAre(1, 10, 11, 12, 2));
  EXPECT_THAT(first.labels, ElementsAre(1, kNone, kNone, kNone, kNone));
  EXPECT_EQ(first.class_at, 0);
  const auto last = encode_class(example, letters, facts, /*at_end=*/true, 4, true);
  EXPECT_THAT(last.tokens, ElementsAre(1, 10, 11, 2));
  EXPECT_THAT(last.labels, ElementsAre(kNone, kNone, kNone, 1));
  EXPECT_EQ(last.class_at, 3);
  EXPECT_THAT(encode_class(example, letters, facts, true, 100, false).labels, ::testing::Each(kNone));
}

TEST_F(TextRules, ALabelIsANameBeforeItIsANumber) {
  EXPECT_EQ(class_number("cat", facts.labels), 0);
  EXPECT_EQ(class_number("1", facts.labels), 1);
  EXPECT_EQ(class_number("7", facts.labels), 2);
  EXPECT_THAT([&] { class_number("3", facts.labels); }, ThrowsMessage<FormatError>(HasSubstr("none of the model's 3")));
  EXPECT_THAT([&] { class_number("cst", facts.labels); },
              ThrowsMessage<FormatError>(HasSubstr("Did you mean \"cat\"?")));
  EXPECT_THAT([&] { class_number("", facts.labels); }, ThrowsMessage<FormatError>(HasSubstr("has no `label`")));
}

TEST_F(TextRules, WhatDoesNotFitIsRefused) {
  EXPECT_THROW(causal({.prompt = "a", .has_image = true}), UnsupportedError);
  EXPECT_THROW(causal({.label = "cat"}), UnsupportedError);
  facts.vocabulary = 12;
  EXPECT_THAT([&] { causal({.target = "c"}); }, ThrowsMessage<FormatError>(HasSubstr("gave id 12")));
}

}  // namespace
}  // namespace peftlab
