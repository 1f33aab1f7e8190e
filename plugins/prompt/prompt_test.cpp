/// Prompt tuning by hand. What every method must do is in tests/conformance.

#include <peftlab/error.h>
#include <peftlab/testing/toy.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

/// Row i of the toy model's embeddings is [i i].
class Prompt : public ::testing::Test {
 protected:
  Prompt() : model({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1}) {
    const torch::NoGradGuard no_grad;
    model.embedding_table().copy_(torch::arange(32).unsqueeze(1).expand({-1, 2}));
    model.freeze();
  }

  std::shared_ptr<Method> attach(const Table& options) {
    auto prompt = testing::make_method("prompt", options);
    prompt->attach(model, testing::ToyTokenizer());
    return prompt;
  }

  testing::ToyModel model;
};

TEST_F(Prompt, StandsBeforeEverySequence) {
  auto prompt = attach({{"tokens", 2}});
  testing::set(*prompt, "prompt_embeddings", torch::tensor({{-1.0, -2.0}, {-3.0, -4.0}}));
  Layout layout;
  layout.add(1, 0);
  layout.add(2, 1);
  const auto extended = model.embedding_site().extend(torch::tensor({{1.0, 1.0}, {2.0, 2.0}, {3.0, 3.0}}), layout);
  EXPECT_TRUE(torch::equal(extended.rows.select(1, 0), torch::tensor({-1.f, -3.f, 1.f, -1.f, -3.f, 2.f, 3.f})));
  EXPECT_EQ(extended.layout.context, (std::vector<int64_t>{0, 3}));
}

TEST_F(Prompt, OfRealEmbeddingsIsTheirTokensInFront) {
  const auto with = [&](std::vector<int64_t> tokens) {
    const std::vector<int64_t> none(tokens.size(), kNoLabel);
    const torch::NoGradGuard no_grad;
    return model.hidden(pack({{tokens, none, 0, -1}}));
  };
  const auto whole = with({0, 2, 5, 9});  // "ac" before ids 5 and 9
  attach({{"tokens", 2}, {"init", "text"}, {"text", "ac"}});
  EXPECT_TRUE(torch::allclose(with({5, 9}), whole.slice(0, 2), 1e-6, 1e-6));
}

TEST_F(Prompt, StartsFromTextRepeatedOrCut) {
  const auto ids = [&](int64_t tokens) {
    return attach({{"tokens", tokens}, {"init", "text"}, {"text", "bcd"}})->parameters()[0].select(1, 0);
  };
  EXPECT_TRUE(torch::equal(ids(5), torch::tensor({1.f, 2.f, 3.f, 1.f, 2.f})));
  EXPECT_TRUE(torch::equal(ids(2), torch::tensor({1.f, 2.f})));
}

TEST_F(Prompt, StartsFromRowsOfTheVocabulary) {
  torch::manual_seed(3);
  const auto values = attach({{"tokens", 200}, {"init", "vocabulary"}})->parameters()[0];
  // Every vector is a row [i i] with 0 <= i < 32, and 200 draws meet more than half of the rows.
  EXPECT_TRUE(torch::equal(values.select(1, 0), values.select(1, 1)));
  EXPECT_TRUE(torch::equal(values, values.floor().clamp(0, 31)));
  EXPECT_GT(std::get<0>(at::_unique(values)).numel(), 16);
}

TEST_F(Prompt, IsFloat32OnA16BitBase) {
  model.to(torch::kBFloat16);
  EXPECT_EQ(attach({{"init", "vocabulary"}})->parameters()[0].scalar_type(), torch::kFloat32);
}

TEST_F(Prompt, StandsBetweenTheFrozenWordsOfATemplate) {
  auto prompt = attach({{"tokens", 2}, {"template", "{soft:1}bc{soft}d"}});
  ASSERT_EQ(prompt->parameters().size(), 1u);  // the words are not trained
  testing::set(*prompt, "prompt_embeddings", torch::tensor({{-1.0, -1.0}, {-2.0, -2.0}, {-3.0, -3.0}}));
  Layout layout;
  layout.add(1, 0);
  EXPECT_EQ(model.embedding_site().virtual_tokens(), 6);
  const auto rows = model.embedding_site().extend(torch::tensor({{9.0, 9.0}}), layout).rows;
  EXPECT_TRUE(torch::equal(rows.select(1, 0), torch::tensor({-1.f, 1.f, 2.f, -2.f, -3.f, 3.f, 9.f})));
  rows.select(1, 0).mul(torch::tensor({1, 20, 30, 4, 5, 60, 70})).sum().backward();
  EXPECT_TRUE(torch::equal(prompt->parameters()[0].grad().select(1, 0), torch::tensor({1.f, 4.f, 5.f})));
}

TEST_F(Prompt, OfATemplateIsReadAgainFromItsFile) {
  auto prompt = attach({{"tokens", 2}, {"template", "{soft:1}bc{soft}d"}});
  const AdapterFiles files = prompt->save(model);
  EXPECT_EQ(files.config.at("num_virtual_tokens"), Value(6));
  EXPECT_EQ(files.tensors.at("prompt_embeddings").sizes(), (std::vector<int64_t>{6, 2}));
  const Table options = prompt->options_from(files.config);
  EXPECT_EQ(to_json(options), R"json({"template":"{soft:1}bc{soft}d","tokens":2})json");
  testing::ToyModel other({.hidden = 2, .layers = 1, .heads = 1, .kv_heads = 1});
  other.freeze();
  auto again = testing::make_method("prompt", options);
  again->attach(other, testing::ToyTokenizer());
  again->load(other, files);
  EXPECT_TRUE(torch::equal(again->parameters()[0], prompt->parameters()[0]));
  EXPECT_TRUE(torch::equal(again->save(other).tensors.at("prompt_embeddings"), files.tensors.at("prompt_embeddings")));
}

TEST_F(Prompt, OfATemplateStartsFromTextToo) {
  const auto values = attach({{"template", "a{soft:3}b{soft:1}"}, {"init", "text"}, {"text", "de"}})->parameters()[0];
  EXPECT_TRUE(torch::equal(values.select(1, 0), torch::tensor({3.f, 4.f, 3.f, 4.f})));
}

/// Puts special tokens around, as BERT's does.
class Wrapping final : public Tokenizer {
 public:
  std::vector<int64_t> encode(const std::string& text) const override { return letters_.encode(text); }
  std::vector<int64_t> encode_with_special_tokens(const std::string& text, int64_t) const override {
    std::vector<int64_t> ids = encode(text);
    ids.insert(ids.begin(), 30);
    ids.push_back(31);
    return ids;
  }
  std::string decode(const std::vector<int64_t>& ids) const override { return letters_.decode(ids); }
  std::optional<int64_t> id_of(const std::string& piece) const override { return letters_.id_of(piece); }
  int64_t size() const override { return 32; }

 private:
  testing::ToyTokenizer letters_;
};

TEST_F(Prompt, StartsFromTextWithItsSpecialTokensAsPeftDoes) {
  auto prompt = testing::make_method("prompt", {{"tokens", 5}, {"init", "text"}, {"text", "bc"}});
  prompt->attach(model, Wrapping());
  EXPECT_TRUE(torch::equal(prompt->parameters()[0].select(1, 0), torch::tensor({30.f, 1.f, 2.f, 31.f, 30.f})));
}

TEST(PromptOptions, OfATemplateAreChecked) {
  const std::vector<std::pair<Table, std::string>> wrong = {
      {{{"template", "no place"}}, "has no place"},    {{{"template", "a {sift} b"}}, "{sift}"},
      {{{"template", "{soft:0}"}}, "{soft:0}"},        {{{"template", "{soft:x}"}}, "{soft:x}"},
      {{{"template", "{soft:}"}}, "{soft:}"},          {{{"template", "{soft} {"}}, "has a { without"},
      {{{"template", "{soft} }"}}, "has a } without"}, {{{"template", "a {soft:2}"}, {"tokens", 4}}, "tokens"}};
  for (const auto& [options, message] : wrong) {
    const auto make = [given = options] { testing::make_method("prompt", given); };
    EXPECT_THAT(make, ThrowsMessage<ConfigError>(HasSubstr(message))) << to_json(options);
  }
}

TEST(PromptOptions, AreChecked) {
  const std::vector<Table> wrong = {
      {{"tokens", 0}}, {{"init", "TEXT"}}, {{"init", "text"}}, {{"init", "text"}, {"text", ""}}, {{"text", "a"}}};
  for (const Table& options : wrong)
    EXPECT_THROW(testing::make_method("prompt", options), ConfigError) << to_json(options);
}

TEST(PromptConfiguration, OfPeft) {
  const auto prompt = testing::make_method("prompt");
  Table config = {{"peft_type", "PROMPT_TUNING"}, {"num_virtual_tokens", 7}, {"prompt_tuning_init", "TEXT"}};
  EXPECT_EQ(to_json(prompt->options_from(config)), R"({"tokens":7})");
  config["modules_to_save"] = List{"classifier"};
  EXPECT_THAT([&] { prompt->options_from(config); }, ThrowsMessage<FormatError>(HasSubstr("modules_to_save")));
}

}  // namespace
}  // namespace peftlab
