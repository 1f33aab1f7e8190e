#include "evaluate/judge.h"

#include "testing/toy_session.h"

#include <peftlab/nn/linear.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

namespace peftlab::evaluate {
namespace {

/// Texts of three classes, the longest first.
class Classified final : public Dataset {
 public:
  void open(const std::filesystem::path&, const std::optional<ImageSpec>&) override {}
  int64_t size() const override { return static_cast<int64_t>(kRows.size()); }
  Example example(int64_t index) const override {
    return {.target = kRows.at(index).first, .label = kRows.at(index).second};
  }
  std::string fingerprint() const override { return "classified"; }

 private:
  const std::vector<std::pair<std::string, std::string>> kRows = {
      {"a long one", "noun"}, {"run", "verb"}, {"b", "noun"}, {"very red", "adjective"}, {"go", "verb"}};
};

/// The toy with a head over classes, read at the last token; counts its passes.
class Classifier final : public Model {
 public:
  Classifier() {
    toy_ = register_module("toy", std::make_shared<testing::ToyModel>());
    facts_ = toy_->facts();
    facts_.labels = {"noun", "verb", "adjective"};
    score_ = register_module("score", std::make_shared<Linear>(facts_.hidden, 3));
    freeze();
  }

  const ModelFacts& facts() const override { return facts_; }
  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t, bool with_target) const override {
    Encoded encoded;
    encoded.tokens = tokenizer.encode(example.target);
    encoded.labels.assign(encoded.tokens.size(), kNoLabel);
    encoded.class_at = static_cast<int64_t>(encoded.tokens.size()) - 1;
    const auto label = std::find(facts_.labels.begin(), facts_.labels.end(), example.label) - facts_.labels.begin();
    if (with_target) encoded.labels.back() = label;
    return encoded;
  }
  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    ++passes;
    longest.push_back(batch.layout.total());
    return toy_->hidden(batch, cache);
  }
  torch::Tensor head(const torch::Tensor& rows) override { return score_->forward(rows); }
  std::vector<AttentionSite*> attention_sites() override { return toy_->attention_sites(); }
  EmbeddingSite& embedding_site() override { return toy_->embedding_site(); }
  torch::Tensor embedding_table() override { return toy_->embedding_table(); }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  std::string classification_head() const override { return "score"; }

  int passes = 0;
  std::vector<int64_t> longest;  ///< tokens of each pass

 private:
  ModelFacts facts_;
  std::shared_ptr<testing::ToyModel> toy_;
  std::shared_ptr<Linear> score_;
};

TEST(ClassifierJudge, LossAndPredictionsAreThoseOfSinglePassesAndComeFromTheSameOnes) {
  attach::Session session = testing::toy_session("none");
  torch::manual_seed(3);
  const auto model = std::make_shared<Classifier>();
  session.model = model;
  const Classified data;

  std::vector<double> losses;
  std::vector<std::string> likeliest;
  for (int64_t i = 0; i < data.size(); ++i) {
    const torch::NoGradGuard no_grad;
    const Encoded encoded = model->encode(data.example(i), *session.tokenizer, 0, /*with_target=*/true);
    const auto logits = model->head(model->hidden(pack({encoded}), nullptr).slice(0, -1)).squeeze(0);
    losses.push_back(-torch::log_softmax(logits, 0)[encoded.labels.back()].item<double>());
    likeliest.push_back(model->facts().labels[logits.argmax().item<int64_t>()]);
  }
  ASSERT_NE(likeliest, std::vector<std::string>(5, likeliest.front())) << "order could not be seen";

  model->passes = 0;
  model->longest.clear();
  ModelJudge judge(session, data, {.batch_size = 2});
  const Score loss = judge.loss();
  ASSERT_EQ(loss.per_item.size(), losses.size());
  double sum = 0;
  for (size_t i = 0; i < losses.size(); ++i) {
    EXPECT_NEAR(loss.per_item[i], losses[i], 1e-5) << i;
    sum += losses[i];
  }
  EXPECT_NEAR(loss.value, sum / 5, 1e-5);
  EXPECT_EQ(judge.predictions(), likeliest);
  EXPECT_EQ(model->passes, 3) << "5 examples in batches of 2, once";
  EXPECT_EQ(model->longest, (std::vector<int64_t>{1 + 2, 3 + 8, 10})) << "neighbours of about one length";
}

TEST(ClassifierJudge, HiddenStatesAreSharedAsLongAsOnlyTheHeadIsTrained) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "classifier_judge_shared";
  std::filesystem::remove_all(folder);
  attach::Session session = testing::toy_session("none");
  torch::manual_seed(3);
  const auto model = std::make_shared<Classifier>();
  session.model = model;
  const Classified data;
  int passes = 0;
  const auto judged = [&](bool is_shared) {
    model->passes = 0;
    JudgeOptions options{.batch_size = 2, .generation = {}};
    if (is_shared) options.shared = {folder, [] { return Table(); }, [](const auto&) {}};
    const Score loss = ModelJudge(session, data, options).loss();
    passes = model->passes;
    return loss.per_item;
  };
  const auto alone = judged(false);
  EXPECT_EQ(judged(true), alone);
  EXPECT_EQ(passes, 3) << "5 examples in batches of 2";
  EXPECT_EQ(judged(true), alone);
  EXPECT_EQ(passes, 1) << "the first, to compare";

  // A head that is trained has other losses of the same states; what lies below it has not.
  model->train_parameters({"score.weight", "score.bias"});
  {
    const torch::NoGradGuard no_grad;
    for (auto& parameter : model->parameters()) {
      if (parameter.requires_grad()) parameter.mul_(-1);
    }
  }
  EXPECT_NE(judged(true), alone);
  EXPECT_EQ(passes, 1);
  EXPECT_EQ(judged(true), judged(false));
  model->train_parameters({model->norm_parameters().front()});
  EXPECT_EQ(judged(true), judged(false));
  judged(true);
  EXPECT_EQ(passes, 3);
}

}  // namespace
}  // namespace peftlab::evaluate
