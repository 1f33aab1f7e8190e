/// Greedy and beam answers beside transformers' generate(), all prompts of a model in one batch.

#include "../support/causal_models.h"
#include "evaluate/generate.h"

#include <gmock/gmock.h>

#include <sstream>

namespace peftlab::causal {
namespace {

using evaluate::EarlyStopping;
using evaluate::GenerationOptions;

/// Texts are ids in decimal.
class Numbers final : public Tokenizer {
 public:
  std::vector<int64_t> encode(const std::string& text) const override {
    std::istringstream in(text);
    return {std::istream_iterator<int64_t>(in), {}};
  }
  std::string decode(const std::vector<int64_t>&) const override { return ""; }
  std::optional<int64_t> id_of(const std::string&) const override { return std::nullopt; }
  int64_t size() const override { return 1 << 20; }
};

class Prompts final : public Dataset {
 public:
  explicit Prompts(const Value& wanted) {
    for (const Value& entry : list(wanted, "prompts")) {
      std::string text;
      for (const int64_t id : ids(entry, "prompt")) text += std::to_string(id) + " ";
      texts_.push_back(text);
    }
  }
  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return static_cast<int64_t>(texts_.size()); }
  Example example(int64_t index) const override { return {.prompt = texts_.at(index)}; }
  std::string fingerprint() const override { return ""; }

 private:
  std::vector<std::string> texts_;
};

/// What we answer to the prompts of `wanted`.
std::vector<std::vector<int64_t>> answers(const Value& wanted, GenerationOptions options) {
  attach::Session session;
  session.model = open_model(text(wanted, "folder"));
  const Numbers tokenizer;
  const Prompts prompts(wanted);
  train::Feed feed(prompts, *session.model, tokenizer, 0, torch::kCPU, /*with_target=*/false);
  options.max_new_tokens = *wanted.find("max_new_tokens")->get_if<int64_t>();
  return evaluate::generate(session, feed, options);
}

/// Transformers' ids without the one that ends them, which generate() leaves out.
std::vector<int64_t> without_end(std::vector<int64_t> made, const ModelFacts& facts) {
  const auto& ends = facts.end_of_sequence;
  if (!made.empty() && std::find(ends.begin(), ends.end(), made.back()) != ends.end()) made.pop_back();
  return made;
}

class Generation : public ::testing::TestWithParam<std::string> {
 protected:
  const Value& wanted() const { return expected("generation").at(GetParam()); }
};

TEST_P(Generation, GreedyIdsAreThoseOfTransformers) {
  const ModelFacts facts = open_model(text(wanted(), "folder"))->facts();
  const auto made = answers(wanted(), {});
  size_t i = 0;
  for (const Value& entry : list(wanted(), "prompts")) {
    EXPECT_EQ(made.at(i++), without_end(ids(entry, "greedy"), facts));
  }
}

TEST_P(Generation, BeamsAreThoseOfTransformers) {
  const ModelFacts facts = open_model(text(wanted(), "folder"))->facts();
  const size_t settings = list(list(wanted(), "prompts").front(), "beams").size();
  for (size_t setting = 0; setting < settings; ++setting) {
    GenerationOptions options;
    const Value& asked = list(list(wanted(), "prompts").front(), "beams")[setting];
    options.num_beams = *asked.find("num_beams")->get_if<int64_t>();
    options.length_penalty = real(asked, "length_penalty");
    const Value& stopping = *asked.find("early_stopping");
    const bool never = stopping.get_if<std::string>() != nullptr;
    options.early_stopping = never                      ? EarlyStopping::never
                             : *stopping.get_if<bool>() ? EarlyStopping::yes
                                                        : EarlyStopping::no;
    const auto made = answers(wanted(), options);
    size_t i = 0;
    for (const Value& entry : list(wanted(), "prompts")) {
      EXPECT_EQ(made.at(i), without_end(ids(list(entry, "beams")[setting], "ids"), facts))
          << "prompt " << i << ", " << to_json(asked);
      ++i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(CausalModels, Generation, ::testing::ValuesIn(names("generation")),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace peftlab::causal
