/// What a prompt and a prefix are, on the tiny models: a prompt of a text's embeddings, and a prefix of its keys and
/// values, are that text before the input; what an encoder gave is the same when it is held flat.

#include "../support/causal_models.h"

#include "attach/session.h"

#include <gmock/gmock.h>

namespace peftlab::causal {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const registry::Registry& plugins() {
  static const registry::Registry registry({testing::plugin_folder()});
  return registry;
}

/// Ids of "hello" and of two inputs of different lengths.
const std::string kText = "hello";
const std::vector<int64_t> kTextIds = {7, 4, 11, 11, 14};
const std::vector<std::vector<int64_t>> kInputs = {{5, 7, 3, 8, 30, 61, 2}, {9, 1, 40}};

attach::Session session_of(const std::string& model) {
  attach::Session session;
  session.folder = folder(model);
  session.model = open_model(model);
  session.tokenizer = std::make_unique<testing::ToyTokenizer>();
  session.model->freeze();
  return session;
}

Method& attach_to(attach::Session& session, const std::string& plugin, const Table& options) {
  attach::attach_methods(session, {{plugin, options}}, /*seed=*/3, plugins());
  session.set_training(false);
  return *session.methods.back().method;
}

/// Logits of the inputs' own tokens where the text stands before each input.
torch::Tensor with_text_before(Model& model) {
  std::vector<torch::Tensor> rows;
  for (const auto& input : kInputs) {
    std::vector<int64_t> whole = kTextIds;
    whole.insert(whole.end(), input.begin(), input.end());
    rows.push_back(logits(model, {whole}).slice(0, static_cast<int64_t>(kTextIds.size())));
  }
  return torch::cat(rows);
}

class OfAText : public ::testing::TestWithParam<std::string> {};

TEST_P(OfAText, APromptIsTheTextBeforeTheInput) {
  attach::Session session = session_of(GetParam());
  const torch::Tensor wanted = with_text_before(*session.model), alone = logits(*session.model, kInputs);
  attach_to(session, "prompt", {{"tokens", 5}, {"init", "text"}, {"text", kText}});
  EXPECT_LE(difference(logits(*session.model, kInputs), wanted), 1e-5);
  EXPECT_GE(difference(alone, wanted), 1e-2);  // the text is not without effect
}

TEST_P(OfAText, ATemplateOfWordsAndItsEmbeddingsIsTheTextBeforeTheInput) {
  attach::Session session = session_of(GetParam());
  const torch::Tensor wanted = with_text_before(*session.model);
  attach_to(session, "prompt", {{"template", "he{soft:1}lo"}, {"init", "text"}, {"text", "l"}});
  EXPECT_LE(difference(logits(*session.model, kInputs), wanted), 1e-5);
}

TEST_P(OfAText, APrefixIsTheTextBeforeTheInput) {
  attach::Session session = session_of(GetParam());
  const torch::Tensor wanted = with_text_before(*session.model);
  attach_to(session, "prefix", {{"tokens", 5}, {"projection", false}, {"init", "text"}, {"text", kText}});
  EXPECT_LE(difference(logits(*session.model, kInputs), wanted), 1e-5);
}

/// The parameters of a method are float32, whose embeddings and keys would be rounded: they are given again in float64.
TEST_P(OfAText, InFloat64TheyAreEqualToTheLastDigits) {
  attach::Session session = session_of(GetParam());
  session.model->to(torch::kFloat64);
  const torch::Tensor wanted = with_text_before(*session.model);
  KeyValueCache cache(0);
  logits(*session.model, {kTextIds}, &cache);
  std::vector<torch::Tensor> columns;
  for (const auto& layer : cache.layers) {
    for (const auto& kept : {layer.keys, layer.values}) columns.push_back(kept[0].slice(1, 0, 5).transpose(0, 1));
  }
  Method& prefix =
      attach_to(session, "prefix", {{"tokens", 5}, {"projection", false}, {"init", "text"}, {"text", kText}});
  prefix.to(torch::kFloat64);
  const torch::NoGradGuard no_grad;
  for (auto& column : columns) column = column.flatten(1);
  prefix.parameters()[0].copy_(torch::cat(columns, 1));
  EXPECT_LE(difference(logits(*session.model, kInputs), wanted), 1e-12);
}

TEST_P(OfAText, ALongTextIsCutAndAShortOneRepeated) {
  const auto rows = [](int64_t tokens, const std::string& text) {
    attach::Session session = session_of(GetParam());
    return attach_to(session, "prefix", {{"tokens", tokens}, {"projection", false}, {"init", "text"}, {"text", text}})
        .parameters()[0]
        .detach();
  };
  EXPECT_TRUE(torch::allclose(rows(3, "hello"), rows(5, "hello").slice(0, 0, 3), 1e-5, 1e-6));
  EXPECT_TRUE(torch::equal(rows(5, "he"), rows(5, "heheh")));
}

TEST_P(OfAText, WhatAnEncoderGaveIsTheSameHeldFlat) {
  for (const auto& [plugin, options] : {std::pair<std::string, Table>{"prefix", {{"tokens", 3}}},
                                        {"ptuning", {{"tokens", 3}}},
                                        {"ptuning", {{"tokens", 3}, {"encoder", "lstm"}, {"hidden", 5}}}}) {
    attach::Session session = session_of(GetParam());
    Method& method = attach_to(session, plugin, options);
    const torch::Tensor wanted = logits(*session.model, kInputs);
    AdapterFiles files = method.save(*session.model);
    files.extra.clear();
    method.load(*session.model, files);
    EXPECT_EQ(method.parameters().size(), 1u);
    EXPECT_LE(difference(logits(*session.model, kInputs), wanted), 1e-6) << plugin;
  }
}

TEST_P(OfAText, APrefixReadsItOnlyWithoutVirtualTokens) {
  attach::Session session = session_of(GetParam());
  attach_to(session, "prompt", {{"tokens", 2}});
  EXPECT_THAT(
      [&] {
        attach_to(session, "prefix", {{"projection", false}, {"init", "text"}, {"text", kText}});
      },
      ThrowsMessage<ConfigError>(HasSubstr("virtual tokens")));
}

INSTANTIATE_TEST_SUITE_P(Models, OfAText, ::testing::Values("gpt2", "llama"),
                         [](const auto& info) { return info.param; });

TEST(OfATextOnBert, APrefixIsRefusedByName) {
  const std::filesystem::path bert = folder("../bert/bert_class");
  attach::Session session = attach::open_model({.folder = bert, .labels = {}}, plugins(), torch::kCPU);
  session.tokenizer = std::make_unique<testing::ToyTokenizer>();
  const Table options = {{"tokens", 3}, {"projection", false}, {"init", "text"}, {"text", "abc"}};
  EXPECT_THAT([&] { attach_to(session, "prefix", options); },
              ThrowsMessage<UnsupportedError>(HasSubstr("plugin prefix: `init = \"text\"`")));
}

}  // namespace
}  // namespace peftlab::causal
