/// [tune] and `match`: what is tried, what is chosen, and that nothing is tried twice.

#include "workshop.h"

#include "support/files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <map>

namespace peftlab::end_to_end {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

void replace(std::string& text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  ASSERT_NE(at, std::string::npos) << from;
  text.replace(at, from.size(), to);
}

/// The workshop's comparison with a search over learning rates; lora is named without its rank.
void write_tuned(const Workshop& shop, const std::string& tune, const std::string& experiment_keys = "") {
  std::string text = read_text(shop.folder / "compare.toml");
  replace(text, "primary = \"bleu\"", "primary = \"loss\"\n" + experiment_keys);
  replace(text, "learning_rate = 1e-3\n", "");
  replace(text, "test = ", "retention = \"train.csv\"\ntest = ");
  replace(text, "[[method]]", "[tune]\n" + tune + "[[method]]");
  replace(text, "label = \"lora-r{rank}\"", "label = \"lora\"");
  shop.write("tuned.toml", text);
}

/// Label -> what was chosen for its option.
std::map<std::string, Value> chosen(const Workshop& shop, const std::string& option) {
  const auto store = shop.store();
  std::map<std::string, Value> found;
  for (const auto& [label, choices] : store.choices("colours")) {
    for (const auto& choice : choices) {
      if (choice.option == option) found[label] = choice.value;
    }
  }
  return found;
}

TEST(Search, EveryMethodIsTriedWithTheSameValuesAndRunWithItsBest) {
  const Workshop shop("tuned");
  write_tuned(shop, "learning_rate = [1e-4, 1e-3, 1e-2]\n");
  const Said said = shop.peftlab({"run", "tuned.toml", "--jobs", "2"});
  ASSERT_EQ(said.exit_code, 0) << said.err;

  const auto store = shop.store();
  std::map<std::string, std::map<double, double>> losses;  // of trials on validation data, by method and rate
  std::map<std::string, double> rates;                     // of the methods' runs
  for (const auto& run : store.runs("colours")) {
    const auto detail = store.run(run.uuid);
    const double rate = *detail.config.at("train").find("learning_rate")->get_if<double>();
    ASSERT_EQ(run.state, "finished");
    if (run.role == "method") {
      EXPECT_EQ(rates.emplace(run.label, rate).first->second, rate) << "its seeds differ in their rate";
    }
    if (run.role != "trial") continue;
    for (const auto& score : detail.scores) {
      EXPECT_EQ(score.split, "validation") << "a trial saw other data";
      losses[*run.of_label][rate] = score.value;
    }
    EXPECT_TRUE(detail.artifacts.empty());
    EXPECT_EQ(run.seed, 0);
  }
  ASSERT_EQ(losses.size(), 3u);
  EXPECT_EQ(losses.at("none").size(), 1u) << "what trains nothing is not tuned";
  for (const std::string label : {"full", "lora"}) {
    ASSERT_EQ(losses.at(label).size(), 3u);
    const auto best = std::min_element(losses.at(label).begin(), losses.at(label).end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    EXPECT_EQ(rates.at(label), best->first) << label;
    EXPECT_EQ(chosen(shop, "train.learning_rate").at(label), Value(best->first));
  }
  // A random model learns fastest at the greatest rate, which the table does not hide.
  EXPECT_THAT(said.out, HasSubstr("at the upper edge"));
  EXPECT_THAT(said.out, HasSubstr("learning_rate 0.01*"));
  EXPECT_THAT(said.out, HasSubstr("retention loss"));

  const Said again = shop.peftlab({"run", "tuned.toml"});
  EXPECT_THAT(again.err, Not(HasSubstr("started")));
  EXPECT_EQ(again.out, said.out);
  // Another value is tried, and the others are not tried again.
  const Said more = shop.peftlab({"run", "tuned.toml", "--set", "tune.learning_rate=[1e-4, 1e-3, 1e-2, 2e-2]"});
  EXPECT_EQ(more.exit_code, 0);
  EXPECT_THAT(more.err, HasSubstr("lora [learning_rate=0.02] seed 0: started"));
  EXPECT_THAT(more.err, Not(HasSubstr("lora [learning_rate=0.01] seed 0: started")));
}

TEST(Search, ADivergingTrialIsOneThatFailedAndIsNotRepeated) {
  const Workshop shop("tuned_diverging");
  write_tuned(shop, "learning_rate = [1e-3, 1e30]\n");
  const std::vector<std::string> command = {"run", "tuned.toml", "--only", "full", "--seeds", "1"};
  const Said said = shop.peftlab(command);
  ASSERT_EQ(said.exit_code, 0) << said.err;
  EXPECT_EQ(chosen(shop, "train.learning_rate").at("full"), Value(1e-3));
  EXPECT_THAT(said.out, HasSubstr("1 of 2 trials failed"));
  EXPECT_THAT(shop.peftlab(command).err, Not(HasSubstr("started")));

  const Said none = shop.peftlab({"run", "tuned.toml", "--only", "full", "--set", "tune.learning_rate=[1e30, 2e30]"});
  EXPECT_EQ(none.exit_code, 1);
  EXPECT_THAT(none.err, HasSubstr("full: all 2 trials failed"));
}

TEST(Search, SecondsAreABudgetForEachMethod) {
  const Workshop shop("tuned_seconds");
  write_tuned(shop, "learning_rate = [1e-4, 1e-3, 1e-2]\nseconds = 1e-6\n");
  ASSERT_EQ(shop.peftlab({"run", "tuned.toml", "--seeds", "0"}).exit_code, 0);
  std::map<std::string, int> trials;
  const auto store = shop.store();
  for (const auto& run : store.runs("colours")) {
    if (run.role == "trial") ++trials[*run.of_label];
  }
  EXPECT_EQ(trials, (std::map<std::string, int>{{"full", 1}, {"lora", 1}, {"none", 1}}));
}

TEST(Search, SizesAreChosenSoThatMethodsHaveAsManyParameters) {
  const Workshop shop("matched");
  write_tuned(shop, "learning_rate = [1e-3, 1e-2]\n",
              "match = \"parameters\"\nmatch_to = \"lora\"\nmatch_tolerance = 0.1\n");
  shop.write("tuned.toml",
             read_text(shop.folder / "tuned.toml") +
                 "[[method]]\nlabel = \"prefix\"\nplugin = \"prefix\"\nprojection = false\nsize = \"tokens\"\n");
  const Said said = shop.peftlab({"run", "tuned.toml", "--seeds", "0"});
  ASSERT_EQ(said.exit_code, 0) << said.err;
  std::map<std::string, int64_t> parameters;
  const auto store = shop.store();
  for (const auto& run : store.runs("colours")) {
    if (run.role == "method") parameters[run.label] = run.trainable_parameters.value_or(-1);
  }
  EXPECT_NEAR(static_cast<double>(parameters.at("prefix")), static_cast<double>(parameters.at("lora")),
              0.1 * static_cast<double>(parameters.at("lora")));
  EXPECT_NE(chosen(shop, "tokens").at("prefix"), Value(20)) << "the default is not what matches";
  EXPECT_EQ(chosen(shop, "train.learning_rate").count("prefix"), 1u);
  EXPECT_THAT(shop.peftlab({"run", "tuned.toml", "--seeds", "0"}).err, Not(HasSubstr("started")));
}

/// With a wide tolerance, so that what else the machine does cannot fail it; that sizes come near is tried in plan/.
TEST(Search, SizesAreChosenBySecondsAndByMemory) {
  for (const char* kind : {"seconds", "memory"}) {
    const Workshop shop(std::string("matched_") + kind);
    write_tuned(shop, "learning_rate = [1e-3, 1e-2]\n",
                fmt::format("match = \"{}\"\nmatch_to = \"lora\"\nmatch_tolerance = 0.9\nmatch_steps = 3\n", kind));
    shop.write("tuned.toml",
               read_text(shop.folder / "tuned.toml") +
                   "[[method]]\nlabel = \"prefix\"\nplugin = \"prefix\"\nprojection = false\nsize = \"tokens\"\n");
    const Said said = shop.peftlab({"run", "tuned.toml", "--seeds", "0"});
    ASSERT_EQ(said.exit_code, 0) << said.err;
    const auto store = shop.store();
    int sizes = 0;
    for (const auto& run : store.runs("colours")) {
      if (run.role != "size") continue;
      ++sizes;
      EXPECT_EQ(run.state, "finished");
      EXPECT_GT(run.train_seconds.value_or(0), 0.0);
      EXPECT_GT(run.peak_memory_bytes.value_or(0), 0);
    }
    EXPECT_GE(sizes, 2) << "what is matched, and at least one size, are measured by " << kind;
    EXPECT_EQ(chosen(shop, "tokens").count("prefix"), 1u) << kind;
    EXPECT_THAT(shop.peftlab({"run", "tuned.toml", "--seeds", "0"}).err, Not(HasSubstr("started"))) << kind;
  }
}

TEST(Search, OnlyLeavesTheOtherMethodsAsTheyWere) {
  const Workshop shop("tuned_only");
  write_tuned(shop, "learning_rate = [1e-3, 1e-2]\n");
  ASSERT_EQ(shop.peftlab({"run", "tuned.toml", "--seeds", "0", "--only", "full"}).exit_code, 0);
  EXPECT_THAT(chosen(shop, "train.learning_rate"), ::testing::SizeIs(1));
  ASSERT_EQ(shop.peftlab({"run", "tuned.toml", "--seeds", "0", "--only", "lora"}).exit_code, 0);
  EXPECT_THAT(chosen(shop, "train.learning_rate"), ::testing::SizeIs(2)) << "what was chosen for full is known still";
}

TEST(Search, ThePlanShowsTheTrials) {
  const Workshop shop("tuned_plan");
  write_tuned(shop, "learning_rate = [1e-3, 1e-2]\n");
  const Said said = shop.peftlab({"run", "tuned.toml", "--plan", "--only", "lora", "--seeds", "1"});
  EXPECT_EQ(said.out,
            "lora [learning_rate=0.001]  lora  seed 0\n"
            "lora [learning_rate=0.01]   lora  seed 0\n"
            "lora                        lora  seed 1\n");
}

}  // namespace
}  // namespace peftlab::end_to_end
