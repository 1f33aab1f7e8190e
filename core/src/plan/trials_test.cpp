#include "plan/trials.h"

#include "config/fake_plugins.h"
#include "plan/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace peftlab::plan {
namespace {

RunSpec lora() {
  auto experiment =
      config::parse_experiment(config::minimal_file("[[method]]\nplugin = \"lora\"\n[[metric]]\nplugin = \"bleu\"\n"),
                               "/lab/compare.toml", config::fake_plugins);
  experiment.primary = "bleu";
  experiment.data.validation = "/lab/v.csv";
  experiment.data.test = "/lab/t.csv";
  experiment.data.retention = "/lab/r.csv";
  experiment.baseline = "lora";
  return expand(experiment).front();
}

config::TuneSection rates_and_steps() {
  return {.values = {{"learning_rate", {1e-4, 1e-3, 1e-2}}, {"steps", {10, 20}}}};
}

TEST(Trials, EveryCombinationInOrder) {
  const auto all = combinations(rates_and_steps());
  ASSERT_EQ(all.size(), 6u);
  EXPECT_EQ(all[0], (Table{{"learning_rate", 1e-4}, {"steps", 10}}));
  EXPECT_EQ(all[1], (Table{{"learning_rate", 1e-4}, {"steps", 20}}));
  EXPECT_EQ(all[5], (Table{{"learning_rate", 1e-2}, {"steps", 20}}));
}

TEST(Trials, WhatIsLeftOutIsLeftOutByChanceAndTheSameEachTime) {
  config::TuneSection tune = rates_and_steps();
  tune.trials = 4;
  const auto some = combinations(tune);
  EXPECT_EQ(some.size(), 4u);
  EXPECT_EQ(some, combinations(tune));
  tune.trials = 100;
  auto all = combinations(tune);
  ASSERT_EQ(all.size(), 6u);
  EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << "fewer trials are the first of more";
  EXPECT_NE(all, combinations(rates_and_steps()));
  const auto in_order = combinations(rates_and_steps());
  EXPECT_TRUE(std::is_permutation(all.begin(), all.end(), in_order.begin()));
  tune.seed = 1;
  EXPECT_NE(combinations(tune), all);
}

TEST(Trials, ATrialSeesNoTestData) {
  const RunSpec method = lora();
  const RunSpec trial = trial_of(method, {{"learning_rate", 1e-3}, {"steps", 20}}, 7);
  EXPECT_EQ(trial.role, "trial");
  EXPECT_EQ(trial.of_label, "lora");
  EXPECT_EQ(trial.label, "lora [learning_rate=0.001, steps=20]");
  EXPECT_EQ(trial.seed, 7);
  EXPECT_FALSE(trial.is_baseline);
  EXPECT_EQ(trial.train.learning_rate, 1e-3);
  EXPECT_EQ(trial.train.steps, 20);
  EXPECT_EQ(trial.train.epochs, std::nullopt);
  EXPECT_EQ(trial.test_data + trial.retention_data, "");
  EXPECT_EQ(trial.validation_data, "/lab/v.csv");
  EXPECT_EQ(trial.metrics.size(), 1u);
  RunSpec by_loss = method;
  by_loss.primary = "loss";
  EXPECT_TRUE(trial_of(by_loss, {{"learning_rate", 1e-3}}, 7).metrics.empty());

  EXPECT_EQ(from_table(to_table(trial)), trial);
  RunSpec same = trial;
  same.role = "method";
  EXPECT_NE(variant_key(same, {}), variant_key(trial, {})) << "what is measured differs";
  RunSpec renamed = trial;
  renamed.label = renamed.of_label = "other";
  EXPECT_EQ(variant_key(renamed, {}), variant_key(trial, {}));
}

TEST(Trials, TheBestIsTheFirstOfEquals) {
  const std::vector<TrialOutcome> trials = {{{}, std::nullopt}, {{}, 0.5}, {{}, 0.7}, {{}, 0.7}, {{}, 0.2}};
  EXPECT_EQ(best_trial(trials, true), 2u);
  EXPECT_EQ(best_trial(trials, false), 4u);
  EXPECT_EQ(best_trial({{{}, std::nullopt}}, true), std::nullopt);
  EXPECT_EQ(best_trial({{{}, 0.5, 3.0}, {{}, 0.5, 2.0}, {{}, 0.4, 1.0}, {{}, 0.5, 2.0}}, true), 1u);
}

TEST(Trials, AnEdgeIsTheLeastOrGreatestNumber) {
  const List rates = {1e-3, 1e-4, 1e-2};
  EXPECT_EQ(edge(1e-4, rates), "at the lower edge");
  EXPECT_EQ(edge(1e-2, rates), "at the upper edge");
  EXPECT_EQ(edge(1e-3, rates), std::nullopt);
  EXPECT_EQ(edge(1e-3, {1e-3}), std::nullopt) << "one value has no range";
  EXPECT_EQ(edge(int64_t{4}, {4, 8}), "at the lower edge");
  EXPECT_EQ(edge("linear", {"linear", "cosine"}), std::nullopt);
  EXPECT_EQ(ascending(rates), (List{1e-4, 1e-3, 1e-2}));
  EXPECT_EQ(ascending({"b", "a"}), (List{"b", "a"}));
}

}  // namespace
}  // namespace peftlab::plan
