/// What only GPT-2 does: names, views of transposed weights, the table of positions, refusals. Its numbers beside
/// transformers' are in tests/causal_models.

#include "../../tests/support/causal_models.h"

#include <gmock/gmock.h>

#include <cmath>

namespace peftlab::causal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// What is said of a configuration that is refused.
std::string refusal(const Table& changes) {
  try {
    make_model(config_of("gpt2", changes));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "taken";
}

TEST(Gpt2, ReadsWhatOldFilesHold) {
  auto model = open_model("gpt2");
  EXPECT_EQ(model->parameter_name("h.0.attn.c_attn.weight"), "transformer.h.0.attn.c_attn.weight");
  EXPECT_EQ(model->parameter_name("transformer.wte.weight"), "transformer.wte.weight");
  EXPECT_EQ(model->parameter_name("lm_head.weight"), "lm_head.weight");
  EXPECT_TRUE(model->ignores("h.0.attn.bias"));
  EXPECT_TRUE(model->ignores("transformer.h.11.attn.masked_bias"));
  // These are parameters, although their names end alike.
  EXPECT_FALSE(model->ignores("h.0.attn.c_attn.bias"));
  EXPECT_FALSE(model->ignores("transformer.h.0.attn.c_proj.bias"));
  EXPECT_FALSE(model->ignores("lm_head.weight"));
}

TEST(Gpt2, MapsAreViewsOfWhatIsStoredTheOtherWayRound) {
  auto model = open_model("gpt2");
  const auto stored = checkpoint::read_tensors(folder("gpt2") / "model.safetensors");
  const auto parameters = model->named_parameters();
  int64_t views = 0;
  for (const auto& item : parameters) {
    const bool transposed = model->is_stored_transposed(item.key());
    EXPECT_TRUE(torch::equal(transposed ? item.value().t() : item.value(), stored.at(item.key()))) << item.key();
    views += transposed ? 1 : 0;
  }
  EXPECT_EQ(views, 2 * 4);  // c_attn, c_proj, c_fc, c_proj of two layers
  EXPECT_FALSE(model->is_stored_transposed("transformer.wte.weight"));
  EXPECT_FALSE(model->is_stored_transposed("lm_head.weight"));
  EXPECT_FALSE(model->is_stored_transposed("score.weight"));
}

TEST(Gpt2, SitesAreNamedAsInTheCheckpoint) {
  auto model = open_model("gpt2");
  std::vector<std::string> linears, sublayers, attention;
  for (const Linear* site : model->linear_sites()) linears.push_back(site->name);
  for (const Sublayer* site : model->sublayer_sites()) sublayers.push_back(site->name);
  for (const AttentionSite* site : model->attention_sites()) attention.push_back(site->name);
  EXPECT_THAT(linears,
              ElementsAre("transformer.h.0.attn.c_attn", "transformer.h.0.attn.c_proj", "transformer.h.0.mlp.c_fc",
                          "transformer.h.0.mlp.c_proj", "transformer.h.1.attn.c_attn", "transformer.h.1.attn.c_proj",
                          "transformer.h.1.mlp.c_fc", "transformer.h.1.mlp.c_proj"));
  EXPECT_THAT(sublayers, ElementsAre("transformer.h.0.attn.c_proj", "transformer.h.0.mlp.c_proj",
                                     "transformer.h.1.attn.c_proj", "transformer.h.1.mlp.c_proj"));
  EXPECT_THAT(attention, ElementsAre("transformer.h.0.attn", "transformer.h.1.attn"));
  EXPECT_EQ(model->embedding_site().name, "transformer.wte");
  EXPECT_THAT(model->default_lora_targets(), ElementsAre("c_attn"));
  EXPECT_EQ(model->norm_parameters().size(), 2 * (2 * 2 + 1u));
}

TEST(Gpt2, FactsAreThoseOfTheConfiguration) {
  const ModelFacts facts = open_model("gpt2_untied")->facts();
  EXPECT_EQ(facts.model_type, "gpt2");
  EXPECT_EQ(facts.vocabulary, 64);
  EXPECT_EQ(facts.hidden, 16);
  EXPECT_EQ(facts.layers, 2);
  EXPECT_EQ(facts.heads, 4);
  EXPECT_EQ(facts.kv_heads, 4);
  EXPECT_EQ(facts.head_width, 4);
  EXPECT_EQ(facts.max_length, 40);
  EXPECT_EQ(facts.end_of_sequence, (std::vector<int64_t>{0, 1}));
  EXPECT_TRUE(facts.labels.empty());
}

TEST(Gpt2, ATiedHeadIsTheTableOfWords) {
  auto tied = open_model("gpt2");
  const std::map<std::string, std::string> wanted = {{"lm_head.weight", "transformer.wte.weight"}};
  EXPECT_EQ(tied->tied(), wanted);
  EXPECT_FALSE(tied->named_parameters().contains("lm_head.weight"));
  auto untied = open_model("gpt2_untied");
  EXPECT_TRUE(untied->tied().empty());
  EXPECT_TRUE(untied->named_parameters().contains("lm_head.weight"));
}

TEST(Gpt2, ASequenceBeyondTheTableOfPositionsIsRefused) {
  // gpt2_untied holds 40 positions. Virtual tokens and keys with positions take some of them.
  const std::vector<int64_t> tokens(40, 7);
  const auto refused = [](Model& model, const std::vector<int64_t>& ids) -> std::string {
    try {
      logits(model, {ids});
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "taken";
  };
  auto model = open_model("gpt2_untied");
  EXPECT_EQ(refused(*model, tokens), "taken");
  EXPECT_THAT(refused(*model, std::vector<int64_t>(41, 7)), HasSubstr("41 positions, the model has n_positions = 40"));

  KeyValueCache cache(4);
  logits(*model, {tokens}, &cache);
  EXPECT_THROW(logits(*model, {{7}}, &cache), ConfigError);

  model->embedding_site().prepend([] { return torch::zeros({2, 16}); }, 2);
  for (AttentionSite* site : model->attention_sites()) {
    site->prepend([] { return KeyValue{torch::zeros({3, 4, 4}), torch::zeros({3, 4, 4})}; }, 3, true);
  }
  EXPECT_EQ(refused(*model, std::vector<int64_t>(35, 7)), "taken");
  EXPECT_THAT(refused(*model, std::vector<int64_t>(36, 7)), HasSubstr("41 positions (5 of them a method's)"));
}

TEST(Gpt2, RefusesByNameWhatItCannotCompute) {
  EXPECT_EQ(refusal({}), "taken");
  EXPECT_THAT(refusal({{"activation_function", "gelu_nw"}}), HasSubstr("Did you mean \"gelu_new\"?"));
  EXPECT_THAT(refusal({{"activation_function", "xielu"}}), HasSubstr("activation_function"));
  EXPECT_THAT(refusal({{"n_head", int64_t{3}}}), HasSubstr("must be a multiple of n_head (3)"));
  EXPECT_THAT(refusal({{"n_head", int64_t{0}}}), HasSubstr("n_head"));
  EXPECT_THAT(refusal({{"n_layer", int64_t{0}}}), HasSubstr("n_layer"));
  EXPECT_THAT(refusal({{"n_layer", int64_t{1} << 40}}), HasSubstr("n_layer"));
  EXPECT_THAT(refusal({{"hidden_size", int64_t{32}}}), HasSubstr("n_embd"));
  EXPECT_THAT(refusal({{"resid_pdrop", 1.0}}), HasSubstr("resid_pdrop"));
  EXPECT_THAT(refusal({{"layer_norm_epsilon", 0.0}}), HasSubstr("layer_norm_epsilon"));
  EXPECT_THAT(refusal({{"add_cross_attention", true}}), HasSubstr("add_cross_attention"));
  EXPECT_THAT(refusal({{"architectures", std::vector<std::string>{"GPT2ForTokenClassification"}}}),
              HasSubstr("architectures"));
  EXPECT_THAT(refusal({{"architectures", std::vector<std::string>{"GPT2ForMaskedLM"}}}), HasSubstr("GPT2LMHeadModel"));
  EXPECT_THAT(refusal({{"architectures", std::vector<std::string>{"GPT2Model"}}, {"tie_word_embeddings", false}}),
              HasSubstr("has no head"));
  EXPECT_THAT(refusal({{"n_positionz", int64_t{8}}}), HasSubstr("Did you mean \"n_positions\"?"));
}

TEST(Gpt2, TakesTheOtherNamesOfItsSizes) {
  Table config = config_of("gpt2");
  for (const auto& [own, other] : {std::pair{"n_embd", "hidden_size"}, std::pair{"n_layer", "num_hidden_layers"},
                                   std::pair{"n_head", "num_attention_heads"}}) {
    config[other] = config.at(own);
    config.erase(own);
  }
  config["n_ctx"] = config.at("n_positions");
  config.erase("n_positions");
  const ModelFacts facts = make_model(config)->facts();
  EXPECT_EQ(facts.hidden, 16);
  EXPECT_EQ(facts.layers, 2);
  EXPECT_EQ(facts.heads, 2);
  EXPECT_EQ(facts.max_length, 64);
}

TEST(Gpt2, DropsOutWhileTrainingOnly) {
  for (const char* probability : {"embd_pdrop", "resid_pdrop", "attn_pdrop"}) {
    Table changes = {{"embd_pdrop", 0.0}, {"resid_pdrop", 0.0}, {"attn_pdrop", 0.0}};
    auto model = open_model("gpt2", changes);
    const std::vector<int64_t> tokens = {5, 17, 33, 8, 60};
    const auto plain = logits(*model, {tokens});
    model->train();
    EXPECT_LE(difference(logits(*model, {tokens}), plain), 1e-5);
    changes[probability] = 0.5;
    auto dropping = open_model("gpt2", changes);
    EXPECT_LE(difference(logits(*dropping, {tokens}), plain), 1e-5) << probability;
    dropping->train();
    EXPECT_GT(difference(logits(*dropping, {tokens}), plain), 1e-2) << probability;
  }
}

TEST(Gpt2, FirstValuesHaveTheDeviationOfTheConfiguration) {
  torch::manual_seed(1);
  auto model = make_model(config_of("gpt2", {{"initializer_range", 0.1}, {"n_embd", int64_t{64}}}));
  const auto parameters = model->named_parameters();
  const auto deviation = [&](const std::string& name) { return parameters[name].std().item<double>(); };
  EXPECT_NEAR(deviation("transformer.wte.weight"), 0.1, 0.005);
  EXPECT_NEAR(deviation("transformer.h.1.attn.c_attn.weight"), 0.1, 0.005);
  EXPECT_NEAR(deviation("transformer.h.1.mlp.c_fc.weight"), 0.1, 0.005);
  // 0.1 / sqrt(2 * 2 layers)
  EXPECT_NEAR(deviation("transformer.h.1.attn.c_proj.weight"), 0.05, 0.003);
  EXPECT_NEAR(deviation("transformer.h.1.mlp.c_proj.weight"), 0.05, 0.003);
  EXPECT_EQ(parameters["transformer.h.0.mlp.c_fc.bias"].abs().max().item<double>(), 0.0);
  EXPECT_EQ(parameters["transformer.h.0.ln_1.bias"].abs().max().item<double>(), 0.0);
  EXPECT_TRUE(torch::equal(parameters["transformer.ln_f.weight"], torch::ones({64})));
}

TEST(Gpt2, PromptsAndAnswersAreEncodedByTheRuleForCausalModels) {
  auto model = open_model("gpt2");
  const testing::ToyTokenizer tokenizer;
  const Encoded encoded = model->encode({.prompt = "ab", .target = "cd", .label = ""}, tokenizer, 64, true);
  EXPECT_THAT(encoded.tokens, ElementsAre(0, 1, 2, 3, 0));  // eos_token_id is 0
  EXPECT_THAT(encoded.labels, ElementsAre(kNoLabel, 2, 3, 0, kNoLabel));
}

}  // namespace
}  // namespace peftlab::causal
