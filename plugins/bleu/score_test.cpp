/// BLEU against sacreBLEU 2.6.0, bit for bit (tests/oracle/bleu, made by make.py there), and by hand.

#include "score.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

namespace peftlab::bleu {
namespace {

using nlohmann::json;

const json& oracle(const std::string& file) {
  static std::map<std::string, json> read;
  if (!read.contains(file)) {
    const char* root = std::getenv("PEFTLAB_SOURCE_DIR");
    if (root == nullptr) throw std::runtime_error("PEFTLAB_SOURCE_DIR is not set: run the tests with ctest");
    std::ifstream in(std::string(root) + "/tests/oracle/bleu/" + file);
    read[file] = json::parse(in);
  }
  return read[file];
}

Options options_of(const json& config) {
  Options options;
  options.tokenizer = tokenizer_named(config.at("tokenize").get<std::string>()).value();
  options.lowercase = config.value("lowercase", false);
  options.effective_order = config.value("effective_order", false);
  options.smoothing = smoothing_named(config.value("smooth_method", "exp")).value();
  if (config.contains("smooth_value")) options.smooth_value = config["smooth_value"].get<double>();
  return options;
}

std::vector<References> references_of(const json& corpus) {
  std::vector<References> result;
  for (const json& segment : corpus.at("references")) {
    References references;
    for (const json& text : segment) {
      references.push_back(text.is_null() ? std::nullopt : std::optional(text.get<std::string>()));
    }
    result.push_back(references);
  }
  return result;
}

std::vector<int64_t> flat(const Statistics& s) {
  std::vector<int64_t> result = {s.output_length, s.reference_length};
  result.insert(result.end(), s.correct.begin(), s.correct.end());
  result.insert(result.end(), s.total.begin(), s.total.end());
  return result;
}

double from_hex(const json& text) {
  return std::strtod(text.get<std::string>().c_str(), nullptr);
}

/// Equal doubles, not near ones.
void expect_same(const Result& got, const json& want) {
  EXPECT_EQ(got.score, from_hex(want.at("score")));
  EXPECT_EQ(got.brevity_penalty, from_hex(want.at("bp")));
  for (size_t i = 0; i < kOrders; ++i) EXPECT_EQ(got.precisions[i], from_hex(want.at("precisions")[i]));
}

TEST(BleuOracle, EveryCorpusUnderEveryConfiguration) {
  const json& inputs = oracle("inputs.json").at("corpora");
  const json& expected = oracle("expected.json").at("corpora");
  ASSERT_EQ(inputs.size(), expected.size());
  int cases = 0;
  for (size_t c = 0; c < inputs.size(); ++c) {
    ASSERT_EQ(inputs[c].at("name"), expected[c].at("name"));
    const auto outputs = inputs[c].at("hypotheses").get<std::vector<std::string>>();
    const auto references = references_of(inputs[c]);
    for (const json& want : expected[c].at("corpus")) {
      const Options options = options_of(want);
      const std::string sign = signature(references, options);
      SCOPED_TRACE(inputs[c].at("name").get<std::string>() + " " + sign);
      Statistics sum;
      for (size_t i = 0; i < outputs.size(); ++i) sum += statistics_of(outputs[i], references[i], options);
      const Result result = score(sum, options);
      EXPECT_EQ(flat(sum), want.at("statistics").get<std::vector<int64_t>>());
      expect_same(result, want);
      EXPECT_EQ(sign, want.at("signature").get<std::string>());
      EXPECT_EQ(line(result, sum, sign), want.at("line").get<std::string>());
      ++cases;
    }
  }
  EXPECT_EQ(cases, 34 * 14);
}

TEST(BleuOracle, EverySentence) {
  const json& inputs = oracle("inputs.json").at("corpora");
  const json& expected = oracle("expected.json").at("corpora");
  int cases = 0;
  for (size_t c = 0; c < inputs.size(); ++c) {
    const auto outputs = inputs[c].at("hypotheses").get<std::vector<std::string>>();
    const auto references = references_of(inputs[c]);
    for (const json& run : expected[c].at("sentences")) {
      const Options options = options_of(run);
      ASSERT_EQ(run.at("scores").size(), outputs.size());
      for (size_t i = 0; i < outputs.size(); ++i) {
        SCOPED_TRACE(outputs[i]);
        const Statistics statistics = statistics_of(outputs[i], references[i], options);
        EXPECT_EQ(flat(statistics), run.at("scores")[i].at("statistics").get<std::vector<int64_t>>());
        expect_same(score(statistics, options), run.at("scores")[i]);
        ++cases;
      }
    }
  }
  EXPECT_EQ(cases, 3 * 119);
}

TEST(BleuOracle, EveryLineByEveryTokenizer) {
  const json& lines = oracle("inputs.json").at("lines");
  const json& expected = oracle("expected.json").at("lines");
  ASSERT_EQ(lines.size(), expected.size());
  ASSERT_GE(lines.size(), 262u);
  for (size_t i = 0; i < lines.size(); ++i) {
    const auto text = lines[i].get<std::string>();
    SCOPED_TRACE(text);
    for (const std::string& name : tokenizer_names()) {
      EXPECT_EQ(tokenize(text, tokenizer_named(name).value(), false),
                expected[i].at(name).get<std::vector<std::string>>())
          << name;
    }
    EXPECT_EQ(lower(text), expected[i].at("lower").get<std::string>());
  }
}

TEST(Bleu, ByHand) {
  // the cat sat | the cat ran: 2 of 3 words, 1 of 2 pairs, 0 of 1 triple (so 1/2), no fours: the score ends at order 3.
  Options options;
  options.effective_order = true;
  const Statistics statistics = statistics_of("the cat sat", {"the cat ran"}, options);
  EXPECT_EQ(flat(statistics), (std::vector<int64_t>{3, 3, 2, 1, 0, 0, 3, 2, 1, 0}));
  EXPECT_NEAR(score(statistics, options).score, 100.0 * std::cbrt(2.0 / 3 * 1.0 / 2 * 1.0 / 2), 1e-12);
}

TEST(Bleu, ShortOutputIsPunished) {
  // All of 4 words right, the reference has 8: exp(1 - 8/4).
  const Statistics statistics = statistics_of("a b c d", {"a b c d e f g h"}, {});
  EXPECT_NEAR(score(statistics, {}).score, 100.0 * std::exp(-1.0), 1e-12);
}

TEST(Bleu, OfTwoReferencesAsNearTheShorterCounts) {
  EXPECT_EQ(statistics_of("a b c", {"a b c d", "a b"}, {}).reference_length, 2);
  EXPECT_EQ(statistics_of("a b c", {"a b", std::nullopt, "a b c d"}, {}).reference_length, 2);
}

TEST(Bleu, MatchesAreClippedByTheReferenceThatHasMost) {
  EXPECT_EQ(statistics_of("the the the", {"the cat", "the the"}, {}).correct[0], 2);
}

TEST(Tokenize, BytesThatAreNoUtf8ReadAsTheReplacementCharacter) {
  EXPECT_EQ(tokenize("a\xFFz b", Tokenizer::none, false), (std::vector<std::string>{"a\uFFFDz", "b"}));
}

TEST(Tokenize, KnowsItsNames) {
  for (const std::string& name : tokenizer_names()) EXPECT_EQ(name_of(tokenizer_named(name).value()), name);
  EXPECT_EQ(tokenizer_named("13b"), std::nullopt);
}

}  // namespace
}  // namespace peftlab::bleu
