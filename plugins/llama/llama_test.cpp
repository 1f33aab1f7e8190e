/// What only these models do: names, kinds of rotary positions by hand, windows, refusals. Their numbers beside
/// transformers' are in tests/causal_models.

#include "../../tests/support/causal_models.h"

#include <gmock/gmock.h>

namespace peftlab::causal {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string refusal(const std::string& folder, const Table& changes) {
  try {
    make_model(config_of(folder, changes));
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "taken";
}

std::string scaling_refusal(const Table& scaling) { return refusal("llama", {{"rope_scaling", scaling}}); }

const Table kLlama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", int64_t{24}}};

Table without(Table table, const std::string& key) {
  table.erase(key);
  return table;
}

TEST(Llama, ReadsWhatOldFilesHold) {
  auto model = open_model("llama");
  EXPECT_EQ(model->parameter_name("layers.0.mlp.up_proj.weight"), "model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(model->parameter_name("model.norm.weight"), "model.norm.weight");
  EXPECT_EQ(model->parameter_name("lm_head.weight"), "lm_head.weight");
  EXPECT_TRUE(model->ignores("model.layers.0.self_attn.rotary_emb.inv_freq"));
  EXPECT_FALSE(model->ignores("lm_head.weight"));
  EXPECT_FALSE(model->is_stored_transposed("model.layers.0.mlp.down_proj.weight"));
}

TEST(Llama, SitesAreNamedAsInTheCheckpoint) {
  auto model = open_model("mistral");
  std::vector<std::string> linears, sublayers, attention;
  for (const Linear* site : model->linear_sites()) linears.push_back(site->name);
  for (const Sublayer* site : model->sublayer_sites()) sublayers.push_back(site->name);
  for (const AttentionSite* site : model->attention_sites()) attention.push_back(site->name);
  ASSERT_EQ(linears.size(), 2 * 7 + 1u);
  linears.resize(7);
  EXPECT_THAT(linears, ElementsAre("model.layers.0.self_attn.q_proj", "model.layers.0.self_attn.k_proj",
                                   "model.layers.0.self_attn.v_proj", "model.layers.0.self_attn.o_proj",
                                   "model.layers.0.mlp.gate_proj", "model.layers.0.mlp.up_proj",
                                   "model.layers.0.mlp.down_proj"));
  EXPECT_EQ(model->linear_sites().back()->name, "lm_head");
  EXPECT_THAT(sublayers, ElementsAre("model.layers.0.self_attn.o_proj", "model.layers.0.mlp.down_proj",
                                     "model.layers.1.self_attn.o_proj", "model.layers.1.mlp.down_proj"));
  EXPECT_THAT(attention, ElementsAre("model.layers.0.self_attn", "model.layers.1.self_attn"));
  EXPECT_EQ(model->embedding_site().name, "model.embed_tokens");
  EXPECT_THAT(model->default_lora_targets(), ElementsAre("q_proj", "v_proj"));
  EXPECT_EQ(model->norm_parameters().size(), 2 * 2 + 1u);
}

TEST(Llama, FactsAreThoseOfTheConfiguration) {
  const ModelFacts facts = open_model("llama_wide")->facts();
  EXPECT_EQ(facts.model_type, "llama");
  EXPECT_EQ(facts.vocabulary, 64);
  EXPECT_EQ(facts.hidden, 16);
  EXPECT_EQ(facts.layers, 2);
  EXPECT_EQ(facts.heads, 2);
  EXPECT_EQ(facts.kv_heads, 1);
  EXPECT_EQ(facts.head_width, 12);
  EXPECT_EQ(facts.max_length, 64);
  EXPECT_EQ(facts.end_of_sequence, (std::vector<int64_t>{0, 1}));
  EXPECT_EQ(open_model("qwen2")->facts().model_type, "qwen2");
  EXPECT_EQ(open_model("mistral")->facts().model_type, "mistral");
}

TEST(Llama, HoldsWhatItsPositionsWereStretchedTo) {
  const auto held = [](const Table& scaling) {
    return make_model(config_of("llama", {{"rope_scaling", scaling}}))->facts().max_length;
  };
  // max_position_embeddings is 48; a llama3 file counts the stretch in it already.
  EXPECT_EQ(held({{"type", "linear"}, {"factor", 2.5}}), 120);
  EXPECT_EQ(held({{"rope_type", "dynamic"}, {"factor", int64_t{2}}}), 96);
  EXPECT_EQ(held(kLlama3), 48);
  EXPECT_EQ(held({{"rope_type", "default"}}), 48);
}

TEST(Llama, BiasesAreWhereTheKindOfModelHasThem) {
  const auto biased = [](const std::string& folder) {
    std::vector<std::string> maps;
    auto model = open_model(folder);
    for (const Linear* site : model->linear_sites()) {
      const bool first = site->name.find("layers.0") != std::string::npos;
      if (first && site->bias.defined()) maps.push_back(site->name.substr(site->name.rfind('.') + 1));
    }
    return maps;
  };
  EXPECT_THAT(biased("llama"), ElementsAre());
  EXPECT_THAT(biased("llama_wide"),
              ElementsAre("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"));
  EXPECT_THAT(biased("mistral"), ElementsAre());
  EXPECT_THAT(biased("qwen2"), ElementsAre("q_proj", "k_proj", "v_proj"));
}

TEST(Llama, AWindowHidesWhatLiesBeforeIt) {
  // One layer that sees 5 positions: the last of 7 rows does not see the first two, and sees the third.
  Table config = config_of("mistral", {{"num_hidden_layers", int64_t{1}}});
  auto model = make_model(config);
  const auto last = [&](std::vector<int64_t> tokens, size_t changed) {
    tokens[changed] = 50;
    return logits(*model, {tokens}).slice(0, -1);
  };
  const std::vector<int64_t> tokens = {5, 17, 33, 8, 60, 21, 40};
  const auto whole = logits(*model, {tokens}).slice(0, -1);
  EXPECT_TRUE(torch::equal(last(tokens, 0), whole));
  EXPECT_TRUE(torch::equal(last(tokens, 1), whole));
  EXPECT_FALSE(torch::equal(last(tokens, 2), whole));
}

TEST(Llama, RefusesKindsOfRotaryPositionsByName) {
  EXPECT_EQ(scaling_refusal(kLlama3), "taken");
  EXPECT_THAT(scaling_refusal({{"rope_type", "yarn"}, {"factor", 4.0}}),
              HasSubstr("`rope_scaling.rope_type` is `yarn`, which cannot be computed"));
  EXPECT_THAT(scaling_refusal({{"type", "longrope"}}), HasSubstr("longrope"));
  EXPECT_THAT(scaling_refusal({{"type", "dynamik"}, {"factor", 2.0}}), HasSubstr("Did you mean \"dynamic\"?"));
  EXPECT_THAT(scaling_refusal({{"factor", 2.0}}), HasSubstr("rope_scaling.rope_type"));
  EXPECT_THAT(scaling_refusal({{"type", "linear"}, {"rope_type", "dynamic"}, {"factor", 2.0}}), HasSubstr("`type`"));
  EXPECT_THAT(scaling_refusal({{"type", "linear"}}), HasSubstr("`rope_scaling.factor` is missing"));
  EXPECT_THAT(scaling_refusal({{"type", "linear"}, {"factor", 0.5}}), HasSubstr("must be at least 1"));
  EXPECT_THAT(scaling_refusal({{"type", "linear"}, {"factor", "2"}}), HasSubstr("must be a number"));
  EXPECT_THAT(scaling_refusal({{"type", "linear"}, {"factor", 2.0}, {"beta_fast", 1.0}}),
              HasSubstr("`rope_scaling.beta_fast` is an unknown key"));
  for (const char* key : {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
    EXPECT_THAT(scaling_refusal(without(kLlama3, key)), HasSubstr(key));
  }
  Table equal = kLlama3;
  equal["high_freq_factor"] = 1.0;
  EXPECT_THAT(scaling_refusal(equal), HasSubstr("must be above low_freq_factor"));
}

TEST(Llama, ReadsRopeParametersAsThetaAndScaling) {
  const std::vector<int64_t> tokens = {5, 17, 33, 8, 60, 21, 40, 2, 11, 9, 30, 44};
  Table both = kLlama3;
  both["rope_theta"] = 20.0;
  const auto wanted = logits(*open_model("llama", {{"rope_theta", 20.0}, {"rope_scaling", kLlama3}}), {tokens});
  const Table newer = {{"rope_theta", Value()}, {"rope_scaling", Value()}, {"rope_parameters", both}};
  EXPECT_TRUE(torch::equal(logits(*open_model("llama", newer), {tokens}), wanted));
  EXPECT_THAT(refusal("llama", {{"rope_parameters", both}}), HasSubstr("must stand in place of"));
}

TEST(Llama, RefusesByNameWhatItCannotCompute) {
  EXPECT_THAT(refusal("llama", {{"hidden_act", "sillu"}}), HasSubstr("Did you mean \"silu\"?"));
  EXPECT_THAT(refusal("llama", {{"num_key_value_heads", int64_t{3}}}), HasSubstr("num_key_value_heads (3)"));
  EXPECT_THAT(refusal("llama", {{"head_dim", int64_t{7}}}), HasSubstr("head_dim"));
  EXPECT_THAT(refusal("llama", {{"head_dim", Value()}, {"num_attention_heads", int64_t{6}}}), HasSubstr("hidden_size"));
  EXPECT_THAT(refusal("llama", {{"pretraining_tp", int64_t{2}}}), HasSubstr("pretraining_tp"));
  EXPECT_THAT(refusal("llama", {{"partial_rotary_factor", 0.5}}), HasSubstr("partial_rotary_factor"));
  EXPECT_THAT(refusal("llama", {{"sliding_window", int64_t{8}}}), HasSubstr("sliding_window"));
  EXPECT_THAT(refusal("llama", {{"num_hidden_layers", int64_t{1} << 40}}), HasSubstr("num_hidden_layers"));
  EXPECT_THAT(refusal("llama", {{"rope_theta", 0.0}}), HasSubstr("rope_theta"));
  EXPECT_THAT(refusal("llama", {{"quantization_config", Table{}}}), HasSubstr("quantization_config"));
  EXPECT_THAT(refusal("llama", {{"architectures", std::vector<std::string>{"LlamaModel"}}}), HasSubstr("has no head"));
  EXPECT_THAT(refusal("llama", {{"architectures", std::vector<std::string>{"LlamaForTokenClassification"}}}),
              HasSubstr("architectures"));
  EXPECT_THAT(refusal("mistral", {{"attention_bias", true}}), HasSubstr("attention_bias"));
  EXPECT_THAT(refusal("mistral", {{"sliding_window", int64_t{0}}}), HasSubstr("sliding_window"));
  EXPECT_THAT(refusal("qwen2", {{"use_sliding_window", false}}), HasSubstr("use_sliding_window is false"));
  EXPECT_THAT(refusal("qwen2", {{"layer_types", std::vector<std::string>{"full_attention"}}}), HasSubstr("2 layers"));
  EXPECT_THAT(refusal("qwen2", {{"layer_types", std::vector<std::string>{"full_attention", "chunked_attention"}}}),
              HasSubstr("chunked_attention"));
}

TEST(Llama, DropsAttentionOutWhileTrainingOnly) {
  const std::vector<int64_t> tokens = {5, 17, 33, 8, 60};
  auto model = open_model("llama", {{"attention_dropout", 0.5}});
  const auto plain = logits(*open_model("llama"), {tokens});
  EXPECT_LE(difference(logits(*model, {tokens}), plain), 1e-5);
  model->train();
  EXPECT_GT(difference(logits(*model, {tokens}), plain), 1e-2);
}

TEST(Llama, FirstValuesHaveTheDeviationOfTheConfiguration) {
  torch::manual_seed(1);
  auto model = make_model(config_of("llama_wide", {{"initializer_range", 0.1}, {"hidden_size", int64_t{64}}}));
  for (const auto& item : model->named_parameters()) {
    if (item.value().dim() == 2) {
      EXPECT_NEAR(item.value().std().item<double>(), 0.1, 0.01) << item.key();
    } else {
      const double wanted = item.key().ends_with(".bias") ? 0.0 : 1.0;
      EXPECT_TRUE(torch::equal(item.value(), torch::full_like(item.value(), wanted))) << item.key();
    }
  }
}

TEST(Llama, IsTheSameInHalfPrecisionUpToIt) {
  // bfloat16 has 8 binary digits; what is float32 in transformers (normalization, angles) is float32 here.
  const std::vector<int64_t> tokens = {5, 17, 33, 8, 60};
  auto model = open_model("llama");
  const auto plain = logits(*model, {tokens});
  model->to(torch::kBFloat16);
  const auto half = logits(*model, {tokens});
  EXPECT_EQ(half.scalar_type(), torch::kBFloat16);
  EXPECT_LE(difference(half.to(torch::kFloat32), plain), 0.1);
}

}  // namespace
}  // namespace peftlab::causal
