/// Where methods extend BERT, under which names, and what files of other classes give it.

#include "test_support.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace peftlab::bert {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

TEST(BertSites, AreNamedAsInTheCheckpoint) {
  auto model = open_model("bert_class");
  std::vector<std::string> linears, sublayers, attention;
  for (const Linear* site : model->linear_sites()) linears.push_back(site->name);
  for (const Sublayer* site : model->sublayer_sites()) sublayers.push_back(site->name);
  for (const AttentionSite* site : model->attention_sites()) attention.push_back(site->name);
  std::vector<std::string> wanted;
  for (const char* layer : {"bert.encoder.layer.0.", "bert.encoder.layer.1."}) {
    for (const char* map : {"attention.self.query", "attention.self.key", "attention.self.value",
                            "attention.output.dense", "intermediate.dense", "output.dense"}) {
      wanted.push_back(std::string(layer) + map);
    }
  }
  wanted.push_back("bert.pooler.dense");  // the classifier is trained whole and is no site
  EXPECT_EQ(linears, wanted);
  EXPECT_THAT(sublayers,
              ElementsAre("bert.encoder.layer.0.attention.output.dense", "bert.encoder.layer.0.output.dense",
                          "bert.encoder.layer.1.attention.output.dense", "bert.encoder.layer.1.output.dense"));
  EXPECT_THAT(attention, ElementsAre("bert.encoder.layer.0.attention.self", "bert.encoder.layer.1.attention.self"));
  EXPECT_EQ(model->embedding_site().name, "bert.embeddings.word_embeddings");
  EXPECT_EQ(model->classification_head(), "classifier");
  EXPECT_THAT(model->default_lora_targets(), ElementsAre("query", "value"));
  EXPECT_EQ(model->norm_parameters().size(), 2 * (1 + 2 * 2u));
}

TEST(BertSites, TheClassifierOfRobertaIsNone) {
  auto model = open_model("roberta_class");
  EXPECT_EQ(model->linear_sites().size(), 12u);
  EXPECT_TRUE(model->named_parameters().contains("classifier.dense.weight"));
  EXPECT_EQ(open_model("roberta_masked")->classification_head(), "");
}

TEST(BertSites, ASublayerEndsBeforeTheResidualAndTheNorm) {
  // What is left of a sublayer that is emptied is the norm of what came in: with both emptied, two norms in a row.
  auto model = open_model("bert");
  for (Sublayer* site : model->sublayer_sites()) {
    site->extend([](const torch::Tensor& h, const SublayerContext&) { return torch::zeros_like(h); });
  }
  const auto p = model->named_parameters();
  const torch::NoGradGuard no_grad;
  const auto norm = [&](const torch::Tensor& x, const std::string& name) {
    return torch::layer_norm(x, {16}, p[name + ".weight"], p[name + ".bias"], 1e-12);
  };
  auto x = p["bert.embeddings.word_embeddings.weight"][9] + p["bert.embeddings.token_type_embeddings.weight"][0] +
           p["bert.embeddings.position_embeddings.weight"][0];
  x = norm(x, "bert.embeddings.LayerNorm");
  for (const char* layer : {"bert.encoder.layer.0.", "bert.encoder.layer.1."}) {
    x = norm(x, std::string(layer) + "attention.output.LayerNorm");
    x = norm(x, std::string(layer) + "output.LayerNorm");
  }
  EXPECT_LE(difference(hidden(*model, {{9}}), x.unsqueeze(0)), 1e-5);
}

TEST(BertSites, OldNamesAndLeftOutPrefixesAreRead) {
  auto bert = open_model("bert_pretraining");
  EXPECT_EQ(bert->parameter_name("embeddings.LayerNorm.gamma"), "bert.embeddings.LayerNorm.weight");
  EXPECT_EQ(bert->parameter_name("encoder.layer.0.output.LayerNorm.beta"),
            "bert.encoder.layer.0.output.LayerNorm.bias");
  EXPECT_EQ(bert->parameter_name("pooler.dense.weight"), "bert.pooler.dense.weight");
  EXPECT_EQ(bert->parameter_name("bert.pooler.dense.weight"), "bert.pooler.dense.weight");
  EXPECT_EQ(bert->parameter_name("cls.predictions.bias"), "cls.predictions.bias");
  auto roberta = open_model("roberta_masked");
  EXPECT_EQ(roberta->parameter_name("encoder.layer.0.output.dense.bias"), "roberta.encoder.layer.0.output.dense.bias");
}

TEST(BertSites, IgnoresOfOtherTasksWhatNothingReads) {
  auto base = open_model("bert"), classes = open_model("bert_class"), masked = open_model("bert_masked");
  auto roberta = open_model("roberta_class");
  for (const auto& model : {base, classes, masked}) {
    EXPECT_TRUE(model->ignores("embeddings.position_ids"));
    EXPECT_TRUE(model->ignores("bert.embeddings.position_ids"));
    EXPECT_FALSE(model->ignores("bert.embeddings.position_embeddings.weight"));
    EXPECT_TRUE(model->ignores("cls.seq_relationship.weight"));
    EXPECT_FALSE(model->ignores("bert.encoder.layer.0.output.dense.weight"));
  }
  for (const auto& model : {base, classes}) EXPECT_TRUE(model->ignores("cls.predictions.transform.dense.weight"));
  EXPECT_FALSE(masked->ignores("cls.predictions.transform.dense.weight"));
  EXPECT_TRUE(base->ignores("bert.pooler.dense.weight"));
  EXPECT_TRUE(masked->ignores("bert.pooler.dense.weight"));
  EXPECT_FALSE(classes->ignores("bert.pooler.dense.weight"));
  EXPECT_TRUE(base->ignores("classifier.weight"));
  EXPECT_FALSE(classes->ignores("classifier.weight"));
  EXPECT_FALSE(masked->ignores("classifier.weight"));
  EXPECT_TRUE(roberta->ignores("roberta.pooler.dense.bias"));
  EXPECT_TRUE(roberta->ignores("lm_head.dense.weight"));
}

TEST(BertSites, AMaskedModelBecomesAClassifierOfNewClasses) {
  // BertForPreTraining holds the pooler that a classifier needs; its word head is left behind.
  const Table config =
      config_of("bert_pretraining", {{"architectures", std::vector<std::string>{"BertForSequenceClassification"}},
                                     {"id2label", Table{{"0", "no"}, {"1", "yes"}}}});
  auto model = make_model(config);
  checkpoint::load_weights(*model, folder("bert_pretraining"), torch::kFloat32, /*new_head=*/0.02);
  EXPECT_EQ(model->facts().labels, (std::vector<std::string>{"no", "yes"}));
  const torch::NoGradGuard no_grad;
  EXPECT_EQ(model->head(hidden(*model, {{5, 6}}).slice(0, 0, 1)).sizes(), (std::vector<int64_t>{1, 2}));
  // A masked model has no pooler, and a random one that stays frozen would be no base to build on.
  auto bare = make_model(config_of("bert_masked", config));
  EXPECT_THROW(checkpoint::load_weights(*bare, folder("bert_masked"), torch::kFloat32, 0.02), FormatError);
}

TEST(BertSites, TiedPartsMayBeStoredToo) {
  using Names = std::map<std::string, std::string>;
  EXPECT_EQ(open_model("bert_masked")->tied(),
            (Names{{"cls.predictions.decoder.bias", "cls.predictions.bias"},
                   {"cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"}}));
  EXPECT_EQ(open_model("roberta_pad")->tied(), (Names{{"lm_head.decoder.bias", "lm_head.bias"}}));
  EXPECT_TRUE(open_model("bert_class")->tied().empty());
  EXPECT_THAT(open_model("bert_untied")->named_parameters().keys(), Contains("cls.predictions.decoder.weight"));
  EXPECT_THAT(open_model("bert_masked")->named_parameters().keys(), Not(Contains("cls.predictions.decoder.weight")));
}

}  // namespace
}  // namespace peftlab::bert
