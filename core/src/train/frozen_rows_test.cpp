#include "train/frozen_rows.h"

#include "testing/toy_session.h"
#include "train/trainer.h"

#include <peftlab/testing/texts.h>

#include <gtest/gtest.h>
#include <torch/torch.h>

namespace peftlab::train {
namespace {

const testing::Texts& words() {
  static const testing::Texts kWords({{"cat", "meow"},
                                      {"dog", "woof woof"},
                                      {"cow", "moo"},
                                      {"duck", "quack"},
                                      {"hippopotamus", "oink"},
                                      {"bee", "buzz"},
                                      {"owl", "hoot"}});
  return kWords;
}

/// The toy with a head of its own, and a way to compute hidden states that a test may choose.
class Headed final : public Model {
 public:
  using Change = std::function<torch::Tensor(const torch::Tensor&)>;

  explicit Headed(Change change) : change_(std::move(change)) {
    toy_ = register_module("toy", std::make_shared<testing::ToyModel>());
    score_ = register_module("score", std::make_shared<Linear>(toy_->facts().hidden, toy_->facts().vocabulary));
    freeze();
  }

  const ModelFacts& facts() const override { return toy_->facts(); }
  Encoded encode(const Example& example, const Tokenizer& tokenizer, int64_t max_length,
                 bool with_target) const override {
    return toy_->encode(example, tokenizer, max_length, with_target);
  }
  torch::Tensor hidden(const Batch& batch, KeyValueCache* cache) override {
    ++computed;
    return change_(toy_->hidden(batch, cache));
  }
  torch::Tensor head(const torch::Tensor& rows) override { return score_->forward(rows); }
  std::vector<AttentionSite*> attention_sites() override { return toy_->attention_sites(); }
  EmbeddingSite& embedding_site() override { return toy_->embedding_site(); }
  torch::Tensor embedding_table() override { return toy_->embedding_table(); }
  std::vector<std::string> default_lora_targets() const override { return {}; }
  std::string classification_head() const override { return "score"; }

  int computed = 0;  ///< calls of hidden()

 private:
  Change change_;
  std::shared_ptr<testing::ToyModel> toy_;
  std::shared_ptr<Linear> score_;
};

const Headed::Change kAsItIs = [](const torch::Tensor& rows) { return rows; };
const Headed::Change kDraws = [](const torch::Tensor& rows) {
  torch::rand({1});
  return rows;
};
const Headed::Change kMixes = [](const torch::Tensor& rows) { return rows - rows.mean(0); };

/// A session of which the head alone is trained.
attach::Session session_of(const Headed::Change& change) {
  attach::Session session = testing::toy_session("none");
  torch::manual_seed(0);
  const auto model = std::make_shared<Headed>(change);
  model->train_parameters({"score.weight", "score.bias"});
  session.model = model;
  return session;
}

bool is_possible(attach::Session session) {
  session.set_training(true);
  Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
  return FrozenRows::where_possible(*session.model, feed, 2) != nullptr;
}

TEST(FrozenRows, AreWhatTheModelComputesInAnyOrderAndTheSameBitsAgain) {
  auto session = session_of(kAsItIs);
  Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
  const auto frozen = FrozenRows::where_possible(*session.model, feed, 2);
  ASSERT_TRUE(frozen);
  std::map<int64_t, torch::Tensor> before;
  for (const std::vector<int64_t>& examples : {std::vector<int64_t>{4, 1}, {1, 6, 0, 4}, {2, 3, 5}}) {
    const auto found = frozen->of(examples);
    const Batch batch = feed.batch(examples);
    const auto at = torch::nonzero(batch.labels != kNoLabel).squeeze(1);
    EXPECT_TRUE(torch::allclose(found.rows, session.model->hidden(batch).index_select(0, at), 1e-5, 1e-5));
    EXPECT_TRUE(torch::equal(found.labels, batch.labels.index_select(0, at)));
    int64_t row = 0;
    for (const int64_t example : examples) {
      const auto own = found.rows.slice(0, row, row + feed.labelled(example)).clone();
      row += feed.labelled(example);
      if (before.count(example)) EXPECT_TRUE(torch::equal(own, before[example])) << example;
      before[example] = own;
    }
  }
}

TEST(FrozenRows, AreNotKeptOfWhatIsTrainedExtendedDrawnOrMixed) {
  EXPECT_TRUE(is_possible(session_of(kAsItIs)));
  EXPECT_FALSE(is_possible(session_of(kDraws)));
  EXPECT_FALSE(is_possible(session_of(kMixes)));
  for (const char* method : {"full", "lora", "adapter", "prefix", "prompt", "layernorm"}) {
    EXPECT_FALSE(is_possible(testing::toy_session(method))) << method;
  }
}

TEST(FrozenRows, TrainTheHeadAsComputingThemEachTimeDoes) {
  config::TrainSection section;
  section.steps = 12;  // three epochs
  section.batch_size = 2;
  section.learning_rate = 1e-2;
  const auto losses = [&](const Headed::Change& change, int& computed) {
    auto session = session_of(change);
    Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
    std::vector<double> found;
    train(session, feed, section, 0, {.step = [&](const StepReport& step) { found.push_back(step.loss); }});
    computed = dynamic_cast<Headed&>(*session.model).computed;
    return found;
  };
  int kept = 0, anew = 0;
  const auto with = losses(kAsItIs, kept), without = losses(kDraws, anew);
  ASSERT_EQ(with.size(), without.size());
  for (size_t i = 0; i < with.size(); ++i) EXPECT_NEAR(with[i], without[i], 1e-5);
  EXPECT_LT(with.back(), with.front());
  EXPECT_EQ(kept, 2 + 4);   // to find out, then each group once
  EXPECT_EQ(anew, 1 + 12);  // to find out, then each batch
}

/// A head trained for three epochs, its hidden states shared in `folder`.
struct SharedRun {
  TensorMap trained;
  int computed = 0;               ///< calls of hidden()
  std::vector<std::string> told;  ///< of files
};

SharedRun shared_run(const std::filesystem::path& folder, const Headed::Change& change = kAsItIs,
                     int64_t batch_size = 2, int64_t seed = 0) {
  config::TrainSection section;
  section.steps = 12;
  section.batch_size = batch_size;
  section.learning_rate = 1e-2;
  SharedRun run;
  auto session = session_of(change);
  Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
  if (!folder.empty())
    feed.share({folder, [] { return Table(); }, [&](const std::string& line) { run.told.push_back(line); }});
  train(session, feed, section, seed, {});
  run.trained = session.trained();
  run.computed = dynamic_cast<Headed&>(*session.model).computed;
  return run;
}

void expect_same_bits(const TensorMap& found, const TensorMap& wanted) {
  for (const auto& [name, tensor] : wanted) EXPECT_TRUE(torch::equal(found.at(name), tensor)) << name;
}

TEST(FrozenRows, AreSharedBetweenRunsAndChangeNoBit) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "frozen_rows_shared";
  std::filesystem::remove_all(folder);
  const SharedRun alone = shared_run(""), cold = shared_run(folder), warm = shared_run(folder);
  expect_same_bits(cold.trained, alone.trained);
  expect_same_bits(warm.trained, alone.trained);
  EXPECT_EQ(cold.computed, 2 + 4);  // to find out, then each group
  EXPECT_EQ(warm.computed, 2 + 1);  // to find out, and the first group, to compare
  // Another seed orders the examples otherwise, and makes nothing anew.
  const SharedRun other = shared_run(folder, kAsItIs, 2, /*seed=*/1);
  EXPECT_EQ(other.computed, 2 + 1);
  expect_same_bits(other.trained, shared_run("", kAsItIs, 2, /*seed=*/1).trained);
  // Other groups round otherwise.
  EXPECT_EQ(shared_run(folder, kAsItIs, 3).computed, 2 + 3);
}

TEST(FrozenRows, OfLessThanAnEpochAreNotKeptButWhereItStandsForMore) {
  config::TrainSection section;
  section.steps = 3;  // an epoch has four
  section.batch_size = 2;
  section.learning_rate = 1e-2;
  for (const bool stands_for_longer : {false, true}) {
    auto session = session_of(kAsItIs);
    Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
    train(session, feed, section, 0, {.stands_for_longer = stands_for_longer});
    EXPECT_EQ(dynamic_cast<Headed&>(*session.model).computed, stands_for_longer ? 2 + 4 : 3);
  }
}

TEST(FrozenRows, ComputingThemCanBeStoppedBeforeTheFirstStep) {
  config::TrainSection section;
  section.steps = 12;
  section.batch_size = 2;
  section.learning_rate = 1e-2;
  const auto file = std::filesystem::path(::testing::TempDir()) / "resume_stopped_rows.safetensors";
  std::filesystem::remove(file);
  auto session = session_of(kAsItIs);
  Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
  bool has_begun = false;
  const Watch watch{.features =
                        [&](const std::function<bool()>& compute) {
                          has_begun = true;
                          compute();
                          ADD_FAILURE() << "was not stopped";
                        },
                    .stop = [] { return true; },
                    .resume_file = file};
  const TrainResult result = train(session, feed, section, 0, watch);
  EXPECT_TRUE(has_begun);
  EXPECT_TRUE(result.interrupted);
  EXPECT_EQ(result.steps, 0);
  EXPECT_FALSE(std::filesystem::exists(file)) << "there is nothing to go on from";
  EXPECT_FALSE(session.model->is_training());
}

TEST(FrozenRows, OfAModelThatComputesSomethingElseAreNotTaken) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "frozen_rows_other";
  std::filesystem::remove_all(folder);
  const Headed::Change doubled = [](const torch::Tensor& rows) { return rows * 2; };
  shared_run(folder);
  const SharedRun found = shared_run(folder, doubled), wanted = shared_run("", doubled);
  ASSERT_EQ(found.told.size(), 1u);
  EXPECT_NE(found.told[0].find("is not what the model computes now"), std::string::npos) << found.told[0];
  expect_same_bits(found.trained, wanted.trained);
}

TEST(FrozenRows, GoOnBitForBitAfterAStop) {
  config::TrainSection section;
  section.steps = 12;
  section.batch_size = 2;
  section.learning_rate = 1e-2;
  const auto file = std::filesystem::path(::testing::TempDir()) / "resume_frozen_rows.safetensors";
  const auto trained = [&](const Watch& watch) {
    auto session = session_of(kAsItIs);
    Feed feed(words(), *session.model, *session.tokenizer, 0, torch::kCPU);
    train(session, feed, section, 0, watch);
    return session.trained();
  };
  const auto whole = trained({});
  for (const int64_t stop : {1, 5, 9}) {
    std::filesystem::remove(file);
    int64_t made = 0;
    trained({.stop = [&] { return ++made == stop; }, .resume_file = file});
    const auto resumed = trained({.resume_file = file});
    for (const auto& [name, tensor] : whole) EXPECT_TRUE(torch::equal(tensor, resumed.at(name))) << name << stop;
  }
}

}  // namespace
}  // namespace peftlab::train
