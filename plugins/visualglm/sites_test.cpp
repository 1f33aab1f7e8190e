/// Where methods may extend the model, and what the model says of itself.

#include "test_support.h"

#include <gmock/gmock.h>

namespace peftlab {
namespace {

using ::testing::ElementsAre;

TEST(VisualGlmSites, AreNamedAfterTheCheckpoint) {
  auto model = open_model("model");
  std::vector<std::string> linears, sublayers;
  for (const Linear* site : model->linear_sites()) linears.push_back(site->name);
  for (const Sublayer* site : model->sublayer_sites()) sublayers.push_back(site->name);
  // 2 language layers and 2 of vision with 4 maps; 3 of the Q-Former with 4, in two of them 3 more; the projection.
  EXPECT_EQ(linears.size(), 2 * 4 + 2 * 4 + 3 * 4 + 2 * 3 + 1u);
  EXPECT_EQ(sublayers.size(), 2 * (2 + 2 + 3u));
  EXPECT_EQ(linears.front(), "transformer.layers.0.attention.query_key_value");
  EXPECT_EQ(linears.back(), "image_encoder.glm_proj");
  for (const std::string& name : sublayers) EXPECT_THAT(linears, ::testing::Contains(name));
  EXPECT_EQ(sublayers[0], "transformer.layers.0.attention.dense");
  EXPECT_EQ(sublayers[1], "transformer.layers.0.mlp.dense_4h_to_h");
  EXPECT_EQ(model->sublayer_sites()[0]->position, Sublayer::Position::attention);
  EXPECT_EQ(model->sublayer_sites()[1]->position, Sublayer::Position::feed_forward);

  std::vector<std::string> attention;
  for (const AttentionSite* site : model->attention_sites()) attention.push_back(site->name);
  EXPECT_THAT(attention, ElementsAre("transformer.layers.0.attention", "transformer.layers.1.attention"));
  EXPECT_THAT(model->default_lora_targets(), ElementsAre("query_key_value"));
  EXPECT_EQ(model->linear_sites({"query_key_value"}).size(), 2 + 2 + 3u);
}

TEST(VisualGlmSites, SublayersAreCalled) {
  const torch::NoGradGuard no_grad;
  auto model = open_model("model");
  const Batch batch = batch_of({Case("image")});
  const auto before = model->hidden(batch);
  for (Sublayer* site : model->sublayer_sites()) {
    auto fresh = open_model("model");
    for (Sublayer* other : fresh->sublayer_sites()) {
      if (other->name != site->name) continue;
      other->extend([](const torch::Tensor& h, const SublayerContext&) {
        EXPECT_EQ(h.dim(), 2);
        return 1.5 * h;
      });
    }
    EXPECT_GT(difference(fresh->hidden(batch), before), 1e-4) << site->name;
  }
}

TEST(VisualGlmSites, FactsAreThoseOfTheConfiguration) {
  auto model = open_model("model");
  const ModelFacts& facts = model->facts();
  EXPECT_EQ(facts.model_type, "chatglm");
  EXPECT_EQ(facts.vocabulary, 64);
  EXPECT_EQ(facts.hidden, 48);
  EXPECT_EQ(facts.layers, 2);
  EXPECT_EQ(facts.heads, 3);
  EXPECT_EQ(facts.kv_heads, 3);
  EXPECT_EQ(facts.head_width, 16);
  EXPECT_EQ(facts.max_length, 64);
  EXPECT_EQ(facts.end_of_sequence, std::vector<int64_t>{61});
  EXPECT_EQ(facts.image_tokens, 3);
  ASSERT_TRUE(facts.images);
  EXPECT_EQ(facts.images->height, 28);
  EXPECT_EQ(facts.images->width, 42);
  EXPECT_EQ(facts.images->mean, (std::array<double, 3>{0.48145466, 0.4578275, 0.40821073}));
  EXPECT_EQ(facts.images->deviation, (std::array<double, 3>{0.26862954, 0.26130258, 0.27577711}));
  EXPECT_FALSE(open_model("model_text")->facts().images);
}

TEST(VisualGlmSites, ATiedHeadIsOneTensorAndAnUntiedOneAMapOfItsOwn) {
  auto tied = open_model("model");
  const std::map<std::string, std::string> wanted = {{"lm_head.weight", "transformer.word_embeddings.weight"}};
  EXPECT_EQ(tied->tied(), wanted);
  EXPECT_FALSE(tied->named_parameters().contains("lm_head.weight"));

  Table config = checkpoint::read_config(oracle("model"));
  config["tie_word_embeddings"] = false;
  auto untied = make_model(config);
  EXPECT_TRUE(untied->tied().empty());
  EXPECT_TRUE(untied->named_parameters().contains("lm_head.weight"));
  const auto rows = torch::randn({2, 48});
  EXPECT_GT(difference(untied->head(rows), torch::linear(rows, untied->embedding_table())), 1e-3);
  EXPECT_FALSE(tied->ignores("image_encoder.vit.transformer.position_embeddings.weight"));
}

TEST(VisualGlmSites, VirtualTokensAreTokens) {
  // The embeddings of a prompt's first two tokens, put in front of the rest of it, are that prompt.
  const torch::NoGradGuard no_grad;
  auto model = open_model("model");
  const Case whole("text");
  const auto wanted = model->hidden(batch_of({whole})).slice(0, 2);
  Case rest = whole;
  rest.encoded.tokens.erase(rest.encoded.tokens.begin(), rest.encoded.tokens.begin() + 2);
  rest.encoded.labels.erase(rest.encoded.labels.begin(), rest.encoded.labels.begin() + 2);
  rest.encoded.context -= 2;
  const auto first =
      model->embedding_table().index_select(0, torch::tensor({whole.encoded.tokens[0], whole.encoded.tokens[1]}));
  model->embedding_site().prepend([first] { return first; }, 2);
  EXPECT_LE(difference(model->hidden(batch_of({rest})), wanted), 1e-6);
  EXPECT_LE(difference(model->hidden(batch_of({rest, rest})), torch::cat({wanted, wanted})), 1e-6);
  EXPECT_EQ(generate(*model, batch_of({prompt_of(rest)}), 8), list(expected().at("text.greedy")));
}

TEST(VisualGlmSites, PrefixesOfKeysAndValuesAreSeenWithACacheToo) {
  const torch::NoGradGuard no_grad;
  auto model = open_model("model");
  Case growing = prompt_of(Case("image"));
  const auto before = model->hidden(batch_of({growing}));
  torch::manual_seed(5);
  for (AttentionSite* site : model->attention_sites()) {
    const KeyValue prefix{torch::randn({4, site->kv_heads, site->head_width}),
                          torch::randn({4, site->kv_heads, site->head_width})};
    site->prepend([prefix] { return prefix; }, 4);
  }
  EXPECT_GT(difference(model->hidden(batch_of({growing})), before), 0.01);
  torch::Tensor cached;
  const auto ids = generate(*model, batch_of({growing}), 4, &cached);
  for (int64_t step = 0; step < 4; ++step) {
    const auto last = model->head(model->hidden(batch_of({growing})).slice(0, -1));
    EXPECT_LE(difference(cached.slice(0, step, step + 1), last), 1e-5) << "at step " << step;
    growing.encoded.tokens.push_back(ids[step]);
    growing.encoded.labels.push_back(kNoLabel);
  }
}

TEST(VisualGlmSites, FirstValuesComeFromTheSeed) {
  const Table config = checkpoint::read_config(oracle("model"));
  const auto made = [&](uint64_t seed) {
    torch::manual_seed(seed);
    return make_model(config);
  };
  auto one = made(1), same = made(1), other = made(2);
  const auto same_parameters = same->named_parameters(), other_parameters = other->named_parameters();
  for (const auto& item : one->named_parameters()) {
    const auto& value = item.value();
    EXPECT_TRUE(torch::equal(value, same_parameters[item.key()])) << item.key();
    if (item.key().find("layernorm") != std::string::npos || item.key().find("ln_vision") != std::string::npos) {
      EXPECT_TRUE(
          torch::equal(value, item.key().ends_with("bias") ? torch::zeros_like(value) : torch::ones_like(value)));
    } else if (item.key().ends_with("bias")) {
      EXPECT_EQ(value.abs().max().item<float>(), 0.0f) << item.key();
    } else {
      EXPECT_FALSE(torch::equal(value, other_parameters[item.key()])) << item.key();
    }
  }
}

}  // namespace
}  // namespace peftlab
