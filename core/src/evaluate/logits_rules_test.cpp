/// The rules by hand, and beside transformers' processors (tests/oracle/generation).

#include "evaluate/logits_rules.h"

#include "support/files.h"

#include <peftlab/value.h>

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

namespace peftlab::evaluate {
namespace {

constexpr float kNever = -INFINITY;

torch::Tensor row(const std::vector<float>& values) { return torch::tensor(values).unsqueeze(0); }

TEST(RestrictScores, ThePenaltyWorksOnBothSignsAndOnceAToken) {
  const GenerationOptions options{.repetition_penalty = 2.0};
  const auto scores = torch::tensor({{3.0f, -1.0f, 2.0f}, {3.0f, -1.0f, 2.0f}});
  // The first row has seen 0 (twice) and 1: 3 / 2 and -1 * 2. The second, 2: 2 / 2.
  EXPECT_TRUE(torch::equal(restrict_scores(scores, options, {{0, 1, 0}, {2}}, 0, {}),
                           torch::tensor({{1.5f, -2.0f, 2.0f}, {3.0f, -1.0f, 1.0f}})));
}

TEST(RestrictScores, NoNgramComesTwice) {
  const auto scores = row({1, 2, 3, 4});
  // After 1 came 2 and 3 already.
  EXPECT_TRUE(torch::equal(restrict_scores(scores, {.no_repeat_ngram_size = 2}, {{1, 2, 1, 3, 1}}, 0, {}),
                           row({1, 2, kNever, kNever})));
  EXPECT_TRUE(
      torch::equal(restrict_scores(scores, {.no_repeat_ngram_size = 1}, {{0, 2}}, 0, {}), row({kNever, 2, kNever, 4})));
  EXPECT_TRUE(torch::equal(restrict_scores(scores, {.no_repeat_ngram_size = 3}, {{1, 2}}, 0, {}), scores));
}

TEST(RestrictScores, NoEndBeforeTheLeastLength) {
  const GenerationOptions options{.min_new_tokens = 2};
  const auto scores = row({1, 2, 3});
  EXPECT_TRUE(torch::equal(restrict_scores(scores, options, {{0}}, 1, {0, 2}), row({kNever, 2, kNever})));
  EXPECT_TRUE(torch::equal(restrict_scores(scores, options, {{0}}, 2, {0, 2}), scores));
}

TEST(WarpScores, KeepTheLikeliest) {
  const auto scores = torch::log(row({0.05f, 0.5f, 0.15f, 0.3f}));
  const auto left = [&](const GenerationOptions& options) { return warp_scores(scores, options).softmax(-1); };
  EXPECT_TRUE(torch::allclose(left({.top_k = 2}), row({0, 0.625f, 0, 0.375f})));
  // 0.5 < 0.7, so the second is needed; 0.8 >= 0.7, so the third is not.
  EXPECT_TRUE(torch::allclose(left({.top_p = 0.7}), row({0, 0.625f, 0, 0.375f})));
  EXPECT_TRUE(torch::allclose(left({.top_p = 0.01}), row({0, 1, 0, 0}))) << "the likeliest always stays";
  // Half the temperature squares the probabilities: 0.0025, 0.25, 0.0225, 0.09 of 0.365.
  EXPECT_TRUE(torch::allclose(left({.temperature = 0.5}), row({0.0025f, 0.25f, 0.0225f, 0.09f}) / 0.365));
}

std::vector<std::vector<int64_t>> id_rows(const Value& value) {
  std::vector<std::vector<int64_t>> rows;
  for (const Value& list : *value.get_if<List>()) {
    rows.emplace_back();
    for (const Value& id : *list.get_if<List>()) rows.back().push_back(*id.get_if<int64_t>());
  }
  return rows;
}

/// Null is -inf.
torch::Tensor score_rows(const Value& value) {
  std::vector<torch::Tensor> rows;
  for (const Value& list : *value.get_if<List>()) {
    std::vector<double> row;
    for (const Value& score : *list.get_if<List>())
      row.push_back(score.is_null() ? -INFINITY : *score.get_if<double>());
    rows.push_back(torch::tensor(row, torch::kFloat32));
  }
  return torch::stack(rows);
}

GenerationOptions options_of(const Value& table) {
  const auto real = [&](const char* key, double otherwise) {
    const Value* value = table.find(key);
    return value ? *value->get_if<double>() : otherwise;
  };
  const auto integer = [&](const char* key) {
    const Value* value = table.find(key);
    return value ? *value->get_if<int64_t>() : 0;
  };
  GenerationOptions options;
  options.repetition_penalty = real("repetition_penalty", 1.0);
  options.temperature = real("temperature", 1.0);
  options.top_p = real("top_p", 1.0);
  options.top_k = integer("top_k");
  options.no_repeat_ngram_size = integer("no_repeat_ngram_size");
  options.min_new_tokens = integer("min_new_tokens");
  return options;
}

TEST(LogitsRules, AreThoseOfTransformers) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  const auto file = std::filesystem::path(source) / "tests/oracle/generation/expected.json";
  const Value all = parse_json(read_text(file, size_t{1} << 20), file.string());
  const auto texts = id_rows(*all.find("texts"));
  const auto logits = score_rows(*all.find("logits"));
  std::vector<int64_t> ends;
  for (const Value& id : *all.find("ends")->get_if<List>()) ends.push_back(*id.get_if<int64_t>());
  const List& cases = *all.find("cases")->get_if<List>();
  EXPECT_EQ(cases.size(), 48u);
  for (const Value& wanted : cases) {
    const auto options = options_of(*wanted.find("options"));
    const auto found =
        warp_scores(restrict_scores(logits, options, texts, *wanted.find("made")->get_if<int64_t>(), ends), options);
    EXPECT_TRUE(torch::allclose(found, score_rows(*wanted.find("scores")), 1e-6, 1e-6))
        << to_json(*wanted.find("options")) << "\n"
        << found;
  }
}

}  // namespace
}  // namespace peftlab::evaluate
