/// Tokenizers of a few pieces, whose every id can be checked by hand, and files that must be refused.

#include "tokenize/json_tokenizer.h"
#include "tokenize/pattern.h"
#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace peftlab::tokenize {
namespace {

using ::testing::HasSubstr;
using Ids = std::vector<int64_t>;

std::unique_ptr<Tokenizer> make(const std::string& json) {
  return make_json_tokenizer(parse_json(json, "t.json"), "t.json");
}

std::string refusal(const std::string& json) {
  try {
    make(json);
  } catch (const FormatError& error) {
    return error.what();
  }
  return "";
}

/// a b c d ab cd abc: of "abcd", rank 0 makes c d into cd, rank 1 a b into ab; ab c never meets.
const char* const kBpe = R"({"model": {"type": "BPE", "unk_token": "?", "fuse_unk": false,
    "vocab": {"?": 0, "a": 1, "b": 2, "c": 3, "d": 4, "ab": 5, "cd": 6, "abc": 7},
    "merges": ["c d", ["a", "b"], "ab c"]}})";

TEST(JsonTokenizer, MergesByRankAndThenFromTheLeft) {
  const auto tokenizer = make(kBpe);
  EXPECT_EQ(tokenizer->encode("abcd"), (Ids{5, 6}));
  EXPECT_EQ(tokenizer->encode("abc"), (Ids{7}));
  EXPECT_EQ(tokenizer->encode("abab"), (Ids{5, 5}));
  EXPECT_EQ(tokenizer->encode("axxb"), (Ids{1, 0, 0, 2}));
  EXPECT_EQ(tokenizer->size(), 8);
  EXPECT_EQ(tokenizer->id_of("abc"), 7);
  EXPECT_EQ(tokenizer->id_of("abcd"), std::nullopt);
  // Without a decoder, pieces are put together with spaces; ids that are none are left out.
  EXPECT_EQ(tokenizer->decode({5, -1, 6, 8, int64_t{1} << 40}), "ab cd");
}

TEST(JsonTokenizer, OfEqualMergesTheLeftmostIsFirst) {
  const auto tokenizer = make(R"({"model": {"type": "BPE", "vocab": {"a": 0, "aa": 1}, "merges": ["a a"]}})");
  EXPECT_EQ(tokenizer->encode("aaa"), (Ids{1, 0}));
}

TEST(JsonTokenizer, AWordOfAMegabyteIsNotQuadratic) {
  const auto tokenizer = make(kBpe);
  std::string text;
  for (int i = 0; i < 1 << 19; ++i) text += "ab";
  EXPECT_EQ(tokenizer->encode(text), Ids(1 << 19, 5));
}

TEST(JsonTokenizer, UnigramTakesTheBestSumAndFusesUnknowns) {
  // "abc": a + bc = -1 - 3 = -4, ab + c = -2.5 - 1 = -3.5, a + b + c = -1 - 5 - 1 = -7.
  const auto tokenizer = make(R"({"model": {"type": "Unigram", "unk_id": 0,
      "vocab": [["?", 0], ["a", -1], ["b", -5], ["c", -1], ["ab", -2.5], ["bc", -3]]}})");
  EXPECT_EQ(tokenizer->encode("abc"), (Ids{4, 3}));
  EXPECT_EQ(tokenizer->encode("axyzc"), (Ids{1, 0, 3}));
}

TEST(JsonTokenizer, WordPieceTakesTheLongestPieceOrNone) {
  const auto tokenizer = make(R"({"pre_tokenizer": {"type": "WhitespaceSplit"},
      "model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 6,
      "vocab": {"?": 0, "un": 1, "##aff": 2, "##able": 3, "una": 4, "##ff": 5}}})");
  EXPECT_EQ(tokenizer->encode("unaff unff unx unaffff affun"), (Ids{4, 5, 1, 5, 0, 0, 0}));
}

TEST(JsonTokenizer, WrongUtf8CountsAsReplacementCharacters) {
  const auto tokenizer = make(R"({"model": {"type": "BPE", "vocab": {"a": 0, "�": 1}, "merges": []}})");
  EXPECT_EQ(tokenizer->encode("a\xFF"
                              "a"),
            (Ids{0, 1, 0}));
  // E4 BD is one maximal part of a character of three bytes; ED A0 80, a surrogate, is three wrong parts.
  EXPECT_EQ(tokenizer->encode("\xE4\xBD"
                              "a\xED\xA0\x80"),
            (Ids{1, 0, 1, 1, 1}));
}

TEST(JsonTokenizer, TruncationCutsTheTextAndKeepsTheFrame) {
  const auto tokenizer = make(R"({"model": {"type": "BPE", "vocab": {"a": 0, "[": 1, "]": 2}, "merges": []},
      "truncation": {"max_length": 1}, "padding": {"strategy": {"Fixed": 9}},
      "post_processor": {"type": "BertProcessing", "cls": ["[", 1], "sep": ["]", 2]}})");
  EXPECT_EQ(tokenizer->encode("aaaa"), (Ids{0, 0, 0, 0}));
  EXPECT_EQ(tokenizer->encode_with_special_tokens("aaaa"), (Ids{1, 0, 0, 0, 0, 2}));
  EXPECT_EQ(tokenizer->encode_with_special_tokens("aaaa", 3), (Ids{1, 0, 2}));
  EXPECT_EQ(tokenizer->encode_with_special_tokens("aaaa", 2), (Ids{1, 2}));
  EXPECT_THROW(tokenizer->encode_with_special_tokens("aaaa", 1), ConfigError);
}

TEST(JsonTokenizer, SeveralThreadsMayEncodeAtOnce) {
  const auto tokenizer = make(R"({"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "Ġ": 2, "ab": 3, "Ġab": 4}, "merges": ["a b", "Ġ ab"]}})");
  std::vector<std::thread> threads;
  std::vector<int> wrong(4);
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      for (int k = 0; k < 2000; ++k) wrong[i] += tokenizer->encode("ab ab  ab") != Ids{3, 4, 2, 4};
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(4));
}

TEST(JsonTokenizer, UnknownKindsAreRefusedByName) {
  const std::string model = R"("model": {"type": "BPE", "vocab": {}, "merges": []})";
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder"}) {
    const std::string message = refusal("{\"" + std::string(key) + R"(": {"type": "Oracle"}, )" + model + "}");
    EXPECT_THAT(message, HasSubstr("t.json: " + std::string(key) + " is of the kind \"Oracle\""));
  }
  EXPECT_THAT(refusal(R"({"model": {"type": "Oracle"}})"), HasSubstr("model is of the kind \"Oracle\""));
  EXPECT_THAT(refusal(R"({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "UnicodeScripts"}]}, )" +
                      model + "}"),
              HasSubstr("t.json: pre_tokenizer.pretokenizers[0] is of the kind \"UnicodeScripts\""));
}

TEST(JsonTokenizer, BrokenFilesAreRefusedByPlace) {
  const auto bpe = [](const std::string& rest) { return refusal(R"({"model": {"type": "BPE", )" + rest + "}}"); };
  EXPECT_THAT(refusal("[]"), HasSubstr("must be a table, found a list"));
  EXPECT_THAT(refusal("{}"), HasSubstr("t.json: \"model\" is missing"));
  EXPECT_THAT(bpe(R"("merges": [])"), HasSubstr("model.\"vocab\" is missing"));
  EXPECT_THAT(bpe(R"("vocab": {"a": -1}, "merges": [])"),
              HasSubstr("model.vocab.a must be from 0 to 2147483646, found -1"));
  EXPECT_THAT(bpe(R"("vocab": {"a": 1e300}, "merges": [])"), HasSubstr("model.vocab.a must be an integer"));
  EXPECT_THAT(bpe(R"("vocab": {"a": 4294967296}, "merges": [])"), HasSubstr("found 4294967296"));
  EXPECT_THAT(bpe(R"("vocab": {"a": 0}, "merges": ["a b"])"), HasSubstr("has the merge \"a b\", but \"b\" is not in"));
  EXPECT_THAT(bpe(R"("vocab": {"a": 0}, "merges": ["a a"])"), HasSubstr("\"aa\" is not in the vocabulary"));
  EXPECT_THAT(bpe(R"("vocab": {"a": 0}, "merges": ["a"])"),
              HasSubstr("must hold pairs of strings, found \"a\" at [0]"));
  EXPECT_THAT(bpe(R"("vocab": {}, "merges": [], "dropout": 0.1)"), HasSubstr("model.dropout must be null or 0"));
  EXPECT_THAT(refusal(R"({"model": {"type": "Unigram", "unk_id": 2, "vocab": [["a", 0]]}})"),
              HasSubstr("model.unk_id must be from 0 to 0, found 2"));
  EXPECT_THAT(refusal(R"({"model": {"type": "Unigram", "vocab": [["a"]]}})"),
              HasSubstr("model.vocab[0] must be a piece"));
  const std::string model = R"("model": {"type": "BPE", "vocab": {"a": 0}, "merges": []})";
  EXPECT_THAT(refusal(R"({"added_tokens": [{"id": 0}], )" + model + "}"),
              HasSubstr("added_tokens[0].\"content\" is missing"));
  EXPECT_THAT(
      refusal(R"({"post_processor": {"type": "BertProcessing", "cls": ["a", 0], "sep": ["b", 1]}, )" + model + "}"),
      HasSubstr("the id 1, which is not below the number of ids, 1"));
  EXPECT_THAT(refusal(R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}, )" + model + "}"),
              HasSubstr("is no normalization table"));
  EXPECT_THAT(refusal(R"({"normalizer": {"type": "Precompiled", "precompiled_charsmap": "A*=="}, )" + model + "}"),
              HasSubstr("is no base64"));
}

TEST(JsonTokenizer, ACharacterOfNoPieceNeedsThePieceForThem) {
  const auto tokenizer = make(R"({"model": {"type": "WordLevel", "unk_token": "?", "vocab": {"a": 0}}})");
  EXPECT_EQ(tokenizer->encode("a"), (Ids{0}));
  EXPECT_THROW(tokenizer->encode("b"), FormatError);
}

std::string found(const std::string& expression, const std::string& text) {
  std::string out;
  for (const Stretch& part : Pattern::of_expression(expression, "t").cut(text)) {
    out += (part.found ? "[" : "") + text.substr(part.begin, part.end - part.begin) + (part.found ? "]" : "");
  }
  return out;
}

TEST(Pattern, MeansWhatOnigurumaMeans) {
  EXPECT_EQ(found("^a", "a\na"), "[a]\n[a]");      // lines, always
  EXPECT_EQ(found("(?m:a.b)", "a\nb"), "[a\nb]");  // m is for newlines
  EXPECT_EQ(found("a.b", "a\nb"), "a\nb");
  EXPECT_EQ(found("\\h+", "xyz beef"), "xyz [beef]");  // hexadecimal digits
  EXPECT_EQ(found("a{,2}", "aaa"), "[aa][a]");
  EXPECT_EQ(found("[a-z&&[^aeiou]]+", "banana"), "[b]a[n]a[n]a");
  EXPECT_EQ(found("[^\\W\\d]+", "ab12_c"), "[ab]12[_c]");
  EXPECT_EQ(found("b*", "abb"), "[]a[bb]");  // an empty find, but not right behind another
  EXPECT_EQ(found("\\s", "\u0085\u180e"), "[\u0085]\u180e");
}

TEST(Pattern, WhatCannotBeTranslatedIsRefused) {
  for (const char* expression :
       {"\\p{Sparkling}", "[[:alpha:]]", "(?~a)", "a{2}+", "(?x: a)", "\\K", "[a", "(", "\\xFF", "\\p"}) {
    EXPECT_THROW(Pattern::of_expression(expression, "t"), FormatError) << expression;
  }
}

TEST(Utf8, RepairsEachMaximalWrongPart) {
  EXPECT_EQ(repaired_utf8("\xF0\x9F\x98\x80"), "\U0001F600");
  EXPECT_EQ(repaired_utf8("\xF0\x9F\x98"
                          "a"),
            "\uFFFDa");
  EXPECT_EQ(repaired_utf8("\xC0\x80"), "\uFFFD\uFFFD");
  EXPECT_EQ(repaired_utf8("\xF4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");
  EXPECT_TRUE(is_valid_utf8("0123456789\u00e9"));
  EXPECT_FALSE(is_valid_utf8("0123456789\xE9"));
}

}  // namespace
}  // namespace peftlab::tokenize
