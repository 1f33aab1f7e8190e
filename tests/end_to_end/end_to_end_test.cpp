/// The whole path: pretraining, comparison, what is kept, what goes wrong.

#include "workshop.h"

#include "support/files.h"
#include "support/sha256.h"

#include <peftlab/value.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <set>

namespace peftlab::end_to_end {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::Not;

/// The states of an experiment's newest attempts: "label/seed" -> state.
std::map<std::string, std::string> states(const Workshop& shop, const std::string& experiment = "colours") {
  std::map<std::string, std::string> found;
  const auto store = shop.store();
  for (const auto& run : store.runs(experiment)) {
    if (run.is_newest) found[run.label + "/" + std::to_string(run.seed)] = run.state;
  }
  return found;
}

std::string adapter_of(const Workshop& shop, const std::string& label, int64_t seed) {
  const auto store = shop.store();
  for (const auto& run : store.runs("colours")) {
    if (run.label == label && run.seed == seed && run.is_newest && run.adapter_sha256) return *run.adapter_sha256;
  }
  return "";
}

/// One comparison that several tests look at.
const Workshop& finished() {
  static const Workshop* shop = [] {
    auto* made = new Workshop("finished");
    const Said said = made->peftlab({"run", "compare.toml", "--jobs", "2"});
    EXPECT_EQ(said.exit_code, 0) << said.err;
    EXPECT_THAT(said.out, HasSubstr("lora-r2"));
    return made;
  }();
  return *shop;
}

TEST(EndToEnd, EveryRunIsFinishedAndTheTableShowsEachMethod) {
  const auto all = states(finished());
  EXPECT_EQ(all.size(), 6u);
  for (const auto& [run, state] : all) EXPECT_EQ(state, "finished") << run;
  EXPECT_EQ(states(finished(), "pretraining"), (std::map<std::string, std::string>{{"scratch/0", "finished"}}));
  const Said table = finished().peftlab({"compare", "colours"});
  for (const char* word : {"full", "none", "lora-r2", "bleu", "matching_accuracy", "baseline"}) {
    EXPECT_THAT(table.out, HasSubstr(word));
  }
}

TEST(EndToEnd, ASecondRunMakesNothing) {
  const Said said = finished().peftlab({"run", "compare.toml"});
  EXPECT_EQ(said.exit_code, 0);
  EXPECT_THAT(said.err, HasSubstr("6 runs, 6 there already, 0 to make"));
}

TEST(EndToEnd, EveryStepHasOneLossAndCostsAreKeptApart) {
  const auto store = finished().store();
  for (const auto& row : store.runs("colours")) {
    const auto run = store.run(row.uuid);
    std::set<std::string> phases;
    for (const auto& cost : run.costs) phases.insert(cost.cost.phase);
    if (row.label == "none") {
      EXPECT_TRUE(store.series(row.uuid, "train/loss").empty());
      EXPECT_FALSE(row.adapter_sha256);
      EXPECT_EQ(phases.count("train"), 0u);
      continue;
    }
    const auto losses = store.series(row.uuid, "train/loss");
    ASSERT_EQ(losses.size(), 8u);
    for (size_t i = 0; i < losses.size(); ++i) EXPECT_EQ(losses[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_EQ(store.series(row.uuid, "validation/loss").size(), 2u);
    EXPECT_EQ(store.series(row.uuid, "train/learning_rate").size(), 8u);
    for (const auto& point : store.series(row.uuid, "train/gradient_norm")) EXPECT_GT(point.value, 0.0);
    EXPECT_EQ(phases,
              (std::set<std::string>{"load", "tokenize", "features", "train", "evaluate", "save", "total"}));
    for (const auto& cost : run.costs) {
      if (cost.cost.phase == "train") EXPECT_EQ(cost.cost.examples, 8 * 6);
    }
    EXPECT_GT(row.tokens_per_second.value_or(0), row.examples_per_second.value_or(0));
    const auto logits = std::find_if(run.events.begin(), run.events.end(), [](const auto& e) { return e.kind == "logits"; });
    ASSERT_NE(logits, run.events.end());
    const Value differences = parse_json(logits->detail_json, "logits");
    EXPECT_LT(*differences.find("after_loading")->get_if<double>(), 1e-6);
    EXPECT_EQ(differences.find("after_merging") != nullptr, row.label == "lora-r2");
    EXPECT_GT(row.peak_memory_bytes.value_or(0), 10'000'000);
    EXPECT_EQ(run.plugins.size(), 5u);  // model, data set, method, two metrics
    EXPECT_TRUE(run.base_model);
  }
}

TEST(EndToEnd, HowFarQuantizingMovedTheBaseIsKept) {
  const Workshop shop("quantizing");
  std::string text = read_text(shop.folder / "compare.toml");
  text.replace(text.find("plugin = \"none\""), 15, "plugin = \"quantized\"");
  shop.write("quantizing.toml", text);
  ASSERT_EQ(shop.peftlab({"run", "quantizing.toml", "--seeds", "0"}).exit_code, 0);
  const auto store = shop.store();
  for (const auto& row : store.runs("colours")) {
    const auto run = store.run(row.uuid);
    const auto logits = std::find_if(run.events.begin(), run.events.end(), [](const auto& e) { return e.kind == "logits"; });
    ASSERT_NE(logits, run.events.end()) << row.label;
    const Value differences = parse_json(logits->detail_json, "logits");
    const Value* moved = differences.find("after_quantizing");
    EXPECT_EQ(moved != nullptr, row.method == "quantized") << row.label;
    if (!moved) continue;
    EXPECT_GT(*moved->get_if<double>(), 0.0);
    EXPECT_LT(*moved->get_if<double>(), *differences.find("largest")->get_if<double>());
  }
}

TEST(EndToEnd, TheChecksumIsThatOfTheFile) {
  const auto store = finished().store();
  for (const auto& row : store.runs("colours")) {
    if (!row.adapter_sha256) continue;
    EXPECT_EQ(sha256_file(store.object_path(*row.adapter_sha256)), *row.adapter_sha256);
    bool found = false;
    for (const auto& artifact : store.run(row.uuid).artifacts) {
      const char* name = row.label == "full" ? "model.safetensors" : "adapter_model.safetensors";
      found = found || (artifact.name == name && artifact.sha256 == *row.adapter_sha256);
    }
    EXPECT_TRUE(found) << row.label;
  }
}

TEST(EndToEnd, TheSameExperimentElsewhereGivesTheSameAdapters) {
  const Workshop other("again");
  ASSERT_EQ(other.peftlab({"run", "compare.toml", "--only", "lora*", "--jobs", "1"}).exit_code, 0);
  EXPECT_EQ(adapter_of(other, "lora-r2", 0), adapter_of(finished(), "lora-r2", 0));
  EXPECT_EQ(adapter_of(other, "lora-r2", 1), adapter_of(finished(), "lora-r2", 1));
  EXPECT_NE(adapter_of(other, "lora-r2", 0), adapter_of(other, "lora-r2", 1));
}

TEST(EndToEnd, ASavedAdapterIsEvaluatedToTheStoredScoresAndAnswers) {
  const Workshop& shop = finished();
  const auto store = shop.store();
  std::string uuid, base;
  for (const auto& run : store.runs("colours")) {
    if (run.label == "lora-r2" && run.seed == 0) uuid = run.uuid;
  }
  for (const auto& entry : fs::directory_iterator(store.folder() / "models")) base = entry.path().string();
  ASSERT_EQ(shop.peftlab({"adapter", "export", uuid, "--to", "exported"}).exit_code, 0);
  const Said scored = shop.peftlab({"eval", "--model", base, "--adapter", "exported", "--data", "test.csv", "--max-length", "48"});
  ASSERT_EQ(scored.exit_code, 0) << scored.err;
  double stored = 0;
  for (const auto& score : store.run(uuid).scores) {
    if (score.metric == "loss" && score.split == "test") stored = score.value;
  }
  const Value list = parse_json(scored.out, "eval");
  double found = -1;
  for (const Value& item : *list.get_if<List>()) {
    if (*item.find("metric")->get_if<std::string>() == "loss") found = *item.find("value")->get_if<double>();
  }
  EXPECT_NEAR(found, stored, 1e-6);

  const Said answered = shop.peftlab({"predict", "--model", base, "--adapter", "exported", "--image", "pictures/red0.ppm",
                                      "--prompt", "Describe the image:"});
  EXPECT_EQ(answered.exit_code, 0) << answered.err;
  EXPECT_TRUE(parse_json(answered.out, "predict").find("prediction"));

  const Said merged = shop.peftlab({"adapter", "merge", "--model", base, "--adapter", "exported", "--to", "merged"});
  ASSERT_EQ(merged.exit_code, 0) << merged.err;
  const Said whole = shop.peftlab({"eval", "--model", "merged", "--data", "test.csv", "--max-length", "48"});
  const Value after = parse_json(whole.out, "eval");
  for (const Value& item : *after.get_if<List>()) {
    if (*item.find("metric")->get_if<std::string>() == "loss") {
      EXPECT_NEAR(*item.find("value")->get_if<double>(), stored, 1e-4);
    }
  }
}

TEST(EndToEnd, ADivergingMethodIsARowWithItsReasonAndTheOthersStand) {
  const Workshop shop("diverging");
  shop.write("more.toml", read_text(shop.folder / "compare.toml") +
                              "[[method]]\nlabel = \"wild\"\nplugin = \"full\"\ntrain.learning_rate = 1e30\n");
  const Said said = shop.peftlab({"run", "more.toml", "--seeds", "0", "--jobs", "2"});
  EXPECT_EQ(said.exit_code, 1);
  const auto all = states(shop);
  EXPECT_EQ(all.at("wild/0"), "failed");
  EXPECT_EQ(all.at("full/0"), "finished");
  EXPECT_EQ(all.at("lora-r2/0"), "finished");
  EXPECT_THAT(said.out, HasSubstr("diverged"));
  EXPECT_THAT(said.out, HasSubstr("wild"));
}

TEST(EndToEnd, AKilledWorkerIsARowTheRestStandsAndTheNextRunGoesOnBitForBit) {
  const Workshop shop("killed");
  // Long enough that the worker is met between its resume point after step 4 and its end.
  const std::vector<std::string> command = {"run", "compare.toml", "--only", "lora*", "--set", "train.steps=400"};
  bool killed = false;
  const Said said = shop.peftlab(command, [&] {
    if (killed) return;
    // The first worker is the pretraining's; only one of the comparison is killed.
    if (!fs::exists(shop.folder / "peftlab.store/models")) return;
    if (const int worker = training_worker(shop.folder / "peftlab.store")) killed = kill(worker, SIGKILL) == 0;
  });
  ASSERT_TRUE(killed);
  EXPECT_EQ(said.exit_code, 1);
  EXPECT_THAT(said.out, HasSubstr("killed by signal 9"));
  const auto after = states(shop);
  EXPECT_EQ(after.at("lora-r2/0"), "failed");
  EXPECT_EQ(after.at("lora-r2/1"), "finished");

  ASSERT_EQ(shop.peftlab(command).exit_code, 0);
  EXPECT_EQ(states(shop).at("lora-r2/0"), "finished");
  const auto store = shop.store();
  std::string resumed;
  for (const auto& run : store.runs("colours")) {
    if (run.seed != 0 || !run.is_newest) continue;
    resumed = run.adapter_sha256.value_or("");
    EXPECT_EQ(run.attempt, 2);
    EXPECT_EQ(store.series(run.uuid, "train/loss").size(), 400u);
  }
  const Workshop unbroken("unbroken");
  auto whole = command;
  whole.insert(whole.end(), {"--seeds", "0"});
  ASSERT_EQ(unbroken.peftlab(whole).exit_code, 0);
  EXPECT_EQ(adapter_of(unbroken, "lora-r2", 0), resumed);
}

TEST(EndToEnd, AnInterruptedComparisonSavesAndGoesOn) {
  const Workshop shop("interrupted");
  const std::vector<std::string> command = {"run", "compare.toml", "--only", "lora*", "--seeds", "0", "--set", "train.steps=400"};
  bool sent = false;
  const Said said = shop.peftlab(command, [&] {
    if (sent || !fs::exists(shop.folder / "peftlab.store/models")) return;
    const int worker = training_worker(shop.folder / "peftlab.store");
    if (worker == 0) return;
    sent = kill(worker, SIGTERM) == 0;
  });
  ASSERT_TRUE(sent);
  EXPECT_EQ(states(shop).at("lora-r2/0"), "interrupted");
  ASSERT_EQ(shop.peftlab(command).exit_code, 0);
  EXPECT_EQ(states(shop).at("lora-r2/0"), "finished");
}

TEST(EndToEnd, AWrongPictureIsNamedBeforeAnythingIsTrained) {
  const Workshop shop("wrong_picture");
  shop.write("pictures/red1.ppm", "no picture");
  const Said said = shop.peftlab({"run", "compare.toml"});
  EXPECT_EQ(said.exit_code, 3);
  EXPECT_THAT(said.err, HasSubstr("train.csv"));
  EXPECT_THAT(said.err, HasSubstr("red1.ppm"));
  EXPECT_THAT(said.err, HasSubstr(":3"));  // the header is line 1
  EXPECT_THAT(said.err, Not(HasSubstr("started")));
}

TEST(EndToEnd, APictureThatBreaksLaterLeavesTheRestStanding) {
  const Workshop shop("breaks_later");
  ASSERT_EQ(shop.peftlab({"run", "compare.toml", "--only", "lora*", "--seeds", "0"}).exit_code, 0);
  fs::remove(shop.folder / "pictures/blue2.ppm");
  const Said said = shop.peftlab({"run", "compare.toml"});
  EXPECT_EQ(said.exit_code, 3);
  EXPECT_THAT(said.err, HasSubstr("blue2.ppm"));
  EXPECT_EQ(states(shop).at("lora-r2/0"), "finished");
  EXPECT_THAT(shop.peftlab({"compare", "colours"}).out, HasSubstr("lora-r2"));
}

TEST(EndToEnd, ThePlanOnlyPrints) {
  const Workshop shop("plan");
  const Said said = shop.peftlab({"run", "compare.toml", "--plan", "--only", "lora*"});
  EXPECT_EQ(said.exit_code, 0);
  EXPECT_EQ(said.out, "lora-r2  lora  seed 0\nlora-r2  lora  seed 1\n");
  EXPECT_FALSE(fs::exists(shop.folder / "peftlab.store"));
}

TEST(EndToEnd, QuietSaysNothingButTheTable) {
  const Said said = finished().peftlab({"run", "compare.toml", "--quiet"});
  EXPECT_EQ(said.err, "");
  EXPECT_THAT(said.out, HasSubstr("lora-r2"));
}

TEST(EndToEnd, TheReportIsOnePage) {
  ASSERT_EQ(finished().peftlab({"report", "-o", "page.html"}).exit_code, 0);
  const std::string page = read_text(finished().folder / "page.html");
  EXPECT_THAT(page, HasSubstr("lora-r2"));
  EXPECT_THAT(page, HasSubstr("<svg"));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
}

}  // namespace
}  // namespace peftlab::end_to_end
