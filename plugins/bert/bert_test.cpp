/// What only BERT does: its facts, its refusals, dropout, and what it cannot be asked. Its numbers beside transformers'
/// are in oracle_test.cpp.

#include "test_support.h"

#include <gmock/gmock.h>

namespace peftlab::bert {
namespace {

using ::testing::HasSubstr;

/// What is said of a configuration that is refused.
std::string refusal(const std::string& name, const Table& changes) {
  try {
    make_model(config_of(name, changes));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "taken";
}

/// What is said where a model is asked for what it cannot do.
template <typename Call>
std::string unsupported(const Call& call) {
  try {
    call();
  } catch (const UnsupportedError& error) {
    return error.what();
  }
  return "done";
}

TEST(Bert, FactsAreThoseOfTheConfiguration) {
  const ModelFacts facts = open_model("bert_class")->facts();
  EXPECT_EQ(facts.model_type, "bert");
  EXPECT_EQ(facts.vocabulary, 64);
  EXPECT_EQ(facts.hidden, 16);
  EXPECT_EQ(facts.layers, 2);
  EXPECT_EQ(facts.heads, 4);
  EXPECT_EQ(facts.kv_heads, 4);
  EXPECT_EQ(facts.head_width, 4);
  EXPECT_EQ(facts.max_length, 24);
  EXPECT_EQ(facts.labels, (std::vector<std::string>{"bad", "fair", "good"}));
}

TEST(Bert, PositionsOfRobertaBeginAfterThatOfPadding) {
  EXPECT_EQ(open_model("roberta")->facts().model_type, "roberta");
  EXPECT_EQ(open_model("roberta")->facts().max_length, 24);      // 26 rows, the first at 1 + 1
  EXPECT_EQ(open_model("roberta_pad")->facts().max_length, 28);  // 32 rows, the first at 3 + 1
  Table config = config_of("roberta");
  config.erase("pad_token_id");
  EXPECT_EQ(make_model(config)->facts().max_length, 24);
}

TEST(Bert, ASequenceBeyondTheTableOfPositionsIsRefused) {
  const auto refused = [](Model& model, int64_t length) -> std::string {
    try {
      hidden(model, {std::vector<int64_t>(length, 7)});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "taken";
  };
  for (const char* name : {"bert", "roberta"}) {
    auto model = open_model(name);
    EXPECT_EQ(refused(*model, 24), "taken");
    EXPECT_THAT(refused(*model, 25), HasSubstr("25 positions, the model has 24: give a smaller max_length"));
    model->embedding_site().prepend([] { return torch::zeros({2, 16}); }, 2);
    for (AttentionSite* site : model->attention_sites()) {
      site->prepend([] { return KeyValue{torch::zeros({3, 2, 8}), torch::zeros({3, 2, 8})}; }, 3, true);
    }
    EXPECT_EQ(refused(*model, 19), "taken");
    EXPECT_THAT(refused(*model, 20), HasSubstr("25 positions (5 of them a method's)"));
  }
}

TEST(Bert, RefusesByNameWhatItCannotCompute) {
  EXPECT_EQ(refusal("bert", {}), "taken");
  EXPECT_THAT(refusal("bert", {{"hidden_act", "gelu_nw"}}), HasSubstr("Did you mean \"gelu_new\"?"));
  EXPECT_THAT(refusal("bert", {{"num_attention_heads", int64_t{3}}}),
              HasSubstr("must be a multiple of num_attention_heads (3)"));
  EXPECT_THAT(refusal("bert", {{"num_attention_heads", int64_t{0}}}), HasSubstr("num_attention_heads"));
  EXPECT_THAT(refusal("bert", {{"num_hidden_layers", int64_t{0}}}), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(refusal("bert", {{"vocab_size", int64_t{1} << 40}}), HasSubstr("vocab_size"));
  EXPECT_THAT(refusal("bert", {{"hidden_dropout_prob", 1.0}}), HasSubstr("hidden_dropout_prob"));
  EXPECT_THAT(refusal("bert", {{"classifier_dropout", -0.1}}), HasSubstr("classifier_dropout"));
  EXPECT_THAT(refusal("bert", {{"layer_norm_eps", 0.0}}), HasSubstr("layer_norm_eps"));
  EXPECT_THAT(refusal("bert", {{"position_embedding_type", "relative_key"}}), HasSubstr("position_embedding_type"));
  EXPECT_THAT(refusal("bert", {{"is_decoder", true}}), HasSubstr("is_decoder"));
  EXPECT_THAT(refusal("bert", {{"add_cross_attention", true}}), HasSubstr("add_cross_attention"));
  EXPECT_THAT(refusal("bert", {{"architectures", std::vector<std::string>{"BertForTokenClassification"}}}),
              HasSubstr("architectures"));
  EXPECT_THAT(refusal("bert", {{"architectures", std::vector<std::string>{"BertLMHeadModel"}}}),
              HasSubstr("architectures"));
  EXPECT_THAT(refusal("bert", {{"hiden_size", int64_t{8}}}), HasSubstr("Did you mean \"hidden_size\"?"));
  EXPECT_THAT(refusal("roberta", {{"pad_token_id", int64_t{25}}}), HasSubstr("pad_token_id"));
  EXPECT_THAT(refusal("roberta", {{"pad_token_id", int64_t{-1}}}), HasSubstr("pad_token_id"));
  EXPECT_EQ(refusal("bert", {{"pooler_type", "first_token_transform"}, {"directionality", "bidi"}}), "taken");
}

TEST(Bert, DoesNotGenerate) {
  auto model = open_model("bert_masked");
  KeyValueCache cache(1);
  EXPECT_THAT(unsupported([&] { model->hidden(batch_of({{5, 6}}), &cache); }), HasSubstr("does not generate"));
}

TEST(Bert, ABareStackHasNothingToAnswerWith) {
  const testing::ToyTokenizer tokenizer;
  for (const char* name : {"bert", "roberta"}) {
    auto model = open_model(name);
    EXPECT_THAT(unsupported([&] { model->head(hidden(*model, {{5}})); }), HasSubstr("`labels` under [model]"));
    const Example example{.prompt = "a", .target = "b", .label = ""};
    EXPECT_THAT(unsupported([&] { model->encode(example, tokenizer, 8, true); }), HasSubstr("`labels` under [model]"));
  }
}

TEST(Bert, DropsOutWhileTrainingOnly) {
  const Table none = {{"hidden_dropout_prob", 0.0}, {"attention_probs_dropout_prob", 0.0}, {"classifier_dropout", 0.0}};
  for (const char* name : {"bert_class", "roberta_class"}) {
    const auto answer = [&](Model& model) {
      const torch::NoGradGuard no_grad;
      return model.head(model.hidden(batch_of({{5, 17, 33, 8, 60}})).slice(0, 0, 1));
    };
    auto model = open_model(name, none);
    const auto plain = answer(*model);
    model->train();
    EXPECT_LE(difference(answer(*model), plain), 1e-5);
    for (const auto& [key, value] : none) {
      Table changes = none;
      changes[key] = 0.5;
      auto dropping = open_model(name, changes);
      EXPECT_LE(difference(answer(*dropping), plain), 1e-5) << key;
      dropping->train();
      EXPECT_GT(difference(answer(*dropping), plain), 1e-2) << key;
    }
    // Left out, what the classifier reads is dropped as everything else is.
    Table changes = {
        {"hidden_dropout_prob", 0.5}, {"attention_probs_dropout_prob", 0.0}, {"classifier_dropout", Value()}};
    auto whole = open_model(name, changes);
    changes["classifier_dropout"] = 0.0;
    auto kept = open_model(name, changes);
    const auto rows = torch::ones({64, 16});
    whole->train();
    kept->train();
    const torch::NoGradGuard no_grad;
    EXPECT_GT(whole->head(rows).std(0).max().item<double>(), 1e-2);
    EXPECT_LE(kept->head(rows).std(0).max().item<double>(), 1e-5);
  }
}

TEST(Bert, FirstValuesHaveTheDeviationOfTheConfiguration) {
  torch::manual_seed(1);
  auto model = make_model(config_of("bert_class", {{"initializer_range", 0.1}, {"hidden_size", int64_t{64}}}));
  const auto p = model->named_parameters();
  for (const char* name : {"bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.weight",
                           "bert.pooler.dense.weight"}) {
    EXPECT_NEAR(p[name].std().item<double>(), 0.1, 0.006) << name;
  }
  EXPECT_EQ(p["bert.encoder.layer.0.output.dense.bias"].abs().max().item<double>(), 0.0);
  EXPECT_EQ(p["bert.embeddings.LayerNorm.bias"].abs().max().item<double>(), 0.0);
  EXPECT_TRUE(torch::equal(p["bert.embeddings.LayerNorm.weight"], torch::ones({64})));
}

TEST(Bert, IsDescribedWithoutMemory) {
  const Blueprint blueprint;
  auto model = make_model({{"model_type", "bert"}, {"architectures", std::vector<std::string>{"BertForMaskedLM"}}});
  int64_t count = 0;
  for (const auto& item : model->named_parameters()) {
    if (item.value().dim() > 1) {
      EXPECT_TRUE(Blueprint::describes(item.value())) << item.key();
    }
    count += item.value().numel();
  }
  // BERT base: 108,891,648 in the stack; 590,592 + 1,536 in the transform; 30,522 biases.
  EXPECT_EQ(count, 108'891'648 + 590'592 + 1'536 + 30'522);
}

}  // namespace
}  // namespace peftlab::bert
