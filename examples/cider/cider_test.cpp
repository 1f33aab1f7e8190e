/// CIDEr-D by hand, and against pycocoevalcap (oracle/make_oracle.py). `peftlab plugins check` tries what every metric
/// must do.

#include <peftlab/error.h>
#include <peftlab/testing/judged.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <iterator>

namespace peftlab {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pointwise;
using ::testing::ThrowsMessage;

using Texts = std::vector<std::string>;
using References = testing::ToyJudged::References;

Score cider_of(const Texts& predictions, const References& references, const Table& options = {}) {
  testing::ToyJudged judged(predictions, references);
  const auto scores = testing::make_metric("cider", options)->compute(judged);
  EXPECT_EQ(scores.size(), 1u);
  return scores.at(0);
}

auto near(double value) { return DoubleNear(value, 1e-12); }

// In two examples a word of one of them weighs L = log 2 - log 1, as does a word that no reference has; one of both
// weighs log 2 - log 2 = 0. L stands above and below and goes out.

TEST(Cider, ByHand) {
  const Score score = cider_of({"a b", "c x"}, {{"a b"}, {"c d"}});
  // The first shares all words and all pairs, and has no longer runs: (1 + 1 + 0 + 0) / 4. The second: words (1, 1) and
  // (1, 1) over c, d, x share 1 / (sqrt 2 sqrt 2), and no pair: (1/2 + 0 + 0 + 0) / 4.
  EXPECT_THAT(score.per_item, ElementsAre(near(5.0), near(1.25)));
  EXPECT_THAT(score.value, near(3.125));
  EXPECT_EQ(score.name, "cider");
  EXPECT_EQ(score.n_items, 2);
  EXPECT_TRUE(score.higher_is_better);
  EXPECT_THAT(score.detail, HasSubstr("not PTBTokenizer"));
}

TEST(Cider, CountsNoMoreThanTheReferenceHasAndPunishesLength) {
  // Words: a weighs 4 in the answer, of length 4; 1 in the reference, of length sqrt 2. min(4, 1) * 1 / (4 sqrt 2). No
  // pair is shared. The answer has 3 pairs and the reference 1: exp(-2^2 / 72).
  const double wanted = 10.0 / 4 / (4 * std::sqrt(2.0)) * std::exp(-4.0 / 72);
  EXPECT_THAT(cider_of({"a a a a", "c"}, {{"a b"}, {"c"}}).per_item, ElementsAre(near(wanted), near(2.5)));
}

TEST(Cider, WordsOfEveryExampleWeighNothing) {
  EXPECT_THAT(cider_of({"the", "the b"}, {{"the a"}, {"the b"}}).per_item, ElementsAre(near(0.0), near(5.0)));
  // In two references of one example a is still in one example, and weighs L. The first reference shares one word of
  // two, and no pair: 10 (1/2 + 0 + 0 + 0) / 4; the second is the answer.
  EXPECT_THAT(cider_of({"a b", "c"}, {{"a x", "a b"}, {"c"}}).per_item,
              ElementsAre(near((1.25 + 5.0) / 2), near(2.5)));
}

TEST(Cider, IsZeroWhereNothingIsRare) {
  EXPECT_EQ(cider_of({"a b c d"}, {{"a b c d"}}).value, 0.0);
  EXPECT_EQ(cider_of({"", ""}, {{"a"}, {"b"}}).value, 0.0);
  EXPECT_EQ(cider_of({"a", ""}, {{""}, {"", ""}}).value, 0.0) << "pycocoevalcap fails here";
}

TEST(Cider, TakesPunctuationOffTheEndsAndCaseAway) {
  const References references = {{"a cat's 3.5 well-known tail"}, {"a dog"}};
  const double best = cider_of({"a cat's 3.5 well-known tail", "a dog"}, references).value;
  EXPECT_EQ(cider_of({"\t\"A -- Cat's (3.5) well-known,\n\n tail...'", "A DOG !"}, references).value, best);
  EXPECT_LT(cider_of({"a cats 35 wellknown tail", "a dog"}, references).value, best);
  EXPECT_LT(cider_of({"A cat's 3.5 well-known tail.", "a dog"}, references, {{"tokenize", "none"}}).value, best);
}

TEST(Cider, AMissingReferenceIsLeftOutAndOneIsNeeded) {
  const Texts answers = {"a b", "c"};
  EXPECT_EQ(cider_of(answers, {{std::nullopt, "a b"}, {"c"}}).value, cider_of(answers, {{"a b"}, {"c"}}).value);
  EXPECT_THAT([] { cider_of({"a", "b"}, {{"a"}, {std::nullopt}}); },
              ThrowsMessage<FormatError>("cider: example 2 has no reference; every one needs at least one"));
}

TEST(Cider, RefusesWhatItDoesNotKnow) {
  for (const Table& options : {Table{{"tokenize", "13a"}}, Table{{"tokenise", "none"}}, Table{{"sigma", 6.0}}}) {
    EXPECT_THROW(testing::make_metric("cider", options), ConfigError) << to_json(options);
  }
}

// --- The numbers of pycocoevalcap -----------------------------------------------------------------------------------

std::string text(const Value& value) { return *value.get_if<std::string>(); }
const List& list(const Value& value, const char* key) { return *value.find(key)->get_if<List>(); }

/// A number that is written as 0 or 10.0.
double number(const Value& value) {
  return value.get_if<double>() ? *value.get_if<double>() : static_cast<double>(*value.get_if<int64_t>());
}

TEST(Cider, IsThatOfPycocoevalcap) {
  std::ifstream file(CIDER_EXPECTED);
  const Value expected = parse_json(std::string{std::istreambuf_iterator<char>(file), {}}, CIDER_EXPECTED);
  EXPECT_EQ(text(*expected.find("versions")->find("pycocoevalcap")), "1.2");
  int64_t examples = 0;
  for (const Value& test : list(expected, "cases")) {
    SCOPED_TRACE(text(*test.find("name")));
    Texts predictions;
    for (const Value& prediction : list(test, "predictions")) predictions.push_back(text(prediction));
    References references;
    for (const Value& texts : list(test, "references")) {
      references.emplace_back();
      for (const Value& reference : *texts.get_if<List>()) references.back().emplace_back(text(reference));
    }
    std::vector<double> items;
    for (const Value& item : list(test, "per_item")) items.push_back(number(item));

    const Score score = cider_of(predictions, references, {{"tokenize", "none"}});
    EXPECT_NEAR(score.value, number(*test.find("score")), 1e-12);
    EXPECT_THAT(score.per_item, Pointwise(DoubleNear(1e-12), items));
    examples += score.n_items;
  }
  EXPECT_EQ(list(expected, "cases").size(), 27u);
  EXPECT_GT(examples, 200);
}

}  // namespace
}  // namespace peftlab
