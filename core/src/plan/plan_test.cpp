#include "plan/plan.h"

#include "config/fake_plugins.h"

#include <peftlab/error.h>

#include <gtest/gtest.h>

#include <functional>

namespace peftlab::plan {
namespace {

/// The runs of a minimal file with these methods.
std::vector<RunSpec> runs_of(const std::string& methods, const std::vector<std::string>& overrides = {}) {
  return expand(config::parse_experiment(config::minimal_file(methods), "/lab/exp/compare.toml", config::fake_plugins,
                                         overrides));
}

const char kTwoMethods[] = R"(
[train]
steps = 10
learning_rate = 1e-3
[[method]]
plugin = "full"
[[method]]
label = "lora-r{rank}-lr{learning_rate}-{targets}-{alpha}"
plugin = "lora"
rank = 64
targets = ["q", "v"]
train.epochs = 2
grid = { train.learning_rate = [1e-3, 5e-4], rank = [4, 8] }
[[metric]]
plugin = "bleu"
)";

TEST(Expand, CombinationsInSortedKeyOrderThenSeeds) {
  // Sorted, "rank" comes before "train.learning_rate", and the last key runs fastest. alpha is the plugin's default.
  EXPECT_EQ(plan_text(runs_of(kTwoMethods, {"experiment.seeds=[0, 7]"})),
            "full                   full  seed 0\n"
            "full                   full  seed 7\n"
            "lora-r4-lr0.001-q+v-8  lora  seed 0\n"
            "lora-r4-lr0.001-q+v-8  lora  seed 7\n"
            "lora-r4-lr5e-4-q+v-8   lora  seed 0\n"
            "lora-r4-lr5e-4-q+v-8   lora  seed 7\n"
            "lora-r8-lr0.001-q+v-8  lora  seed 0\n"
            "lora-r8-lr0.001-q+v-8  lora  seed 7\n"
            "lora-r8-lr5e-4-q+v-8   lora  seed 0\n"
            "lora-r8-lr5e-4-q+v-8   lora  seed 7\n");
}

TEST(Expand, EachRunHasItsOptionsAndItsTraining) {
  const std::vector<RunSpec> runs = runs_of(kTwoMethods, {"experiment.baseline=full", "experiment.primary=bleu"});
  ASSERT_EQ(runs.size(), 5u);
  const RunSpec& full = runs[0];
  EXPECT_TRUE(full.is_baseline);
  EXPECT_EQ(full.train.steps, 10);
  EXPECT_EQ(full.train.epochs, std::nullopt);
  EXPECT_EQ(full.train.learning_rate, 1e-3);
  const RunSpec& last = runs[4];
  EXPECT_EQ(last.experiment, "x");
  EXPECT_FALSE(last.is_baseline);
  EXPECT_EQ(last.train.epochs, 2);  // the method asks for epochs instead of steps
  EXPECT_EQ(last.train.steps, std::nullopt);
  EXPECT_EQ(last.train.learning_rate, 5e-4);
  EXPECT_EQ(last.methods, (std::vector<PluginUse>{{"lora", {{"rank", 8}, {"targets", List{"q", "v"}}}}}));
  EXPECT_EQ(last.model_path, "/lab/exp/base");
  EXPECT_EQ(last.train_data, "/lab/exp/train.csv");
  EXPECT_EQ(last.test_data, "");
  EXPECT_EQ(last.dataset, (PluginUse{"image_text", {}}));
  EXPECT_EQ(last.metrics, (std::vector<PluginUse>{{"bleu", {}}}));
  EXPECT_EQ(last.primary, "bleu");
}

TEST(Expand, SeveralPluginsOnOneModel) {
  // The reader refuses `use` for now; what it reads is expanded all the same.
  config::Experiment experiment;
  experiment.train.epochs = 1;
  config::MethodSection method;
  method.label = "mix-{lora.rank}-{tokens}";
  method.plugins = {{"lora", {{"rank", 8}}, {}, {}}, {"prefix", {{"tokens", 16}}, {}, {}}};
  method.grid = {{"lora.rank", {2, 4}}};
  experiment.methods = {method};
  EXPECT_EQ(plan_text(expand(experiment)), "mix-2-16  lora+prefix  seed 0\nmix-4-16  lora+prefix  seed 0\n");
}

TEST(Filter, ByLabelPatternAndSeed) {
  const std::vector<RunSpec> runs = runs_of(kTwoMethods, {"experiment.seeds=[0, 1]"});
  EXPECT_EQ(filter(runs, "", {}).size(), 10u);
  EXPECT_EQ(filter(runs, "lora-r4*", {}).size(), 4u);
  EXPECT_EQ(plan_text(filter(runs, "f?ll", {1})), "full  full  seed 1\n");
  try {
    filter(runs, "adapter*", {});
    FAIL() << "a pattern that fits nothing passed";
  } catch (const ConfigError& e) {
    EXPECT_EQ(std::string(e.what()).substr(0, 52), "no label matches \"adapter*\"; labels: full, lora-r4-l");
  }
  EXPECT_THROW(filter(runs, "", {2}), ConfigError);
}

TEST(RunTable, RoundTrips) {
  for (const RunSpec& run : runs_of(kTwoMethods, {"data.max_length=64", "train.eval_every=5", "data.workers=2"})) {
    EXPECT_EQ(from_table(to_table(run)), run);
    EXPECT_EQ(from_table(*parse_json(to_json(to_table(run)), "run").get_if<Table>()), run);
  }
}

TEST(RunTable, RefusesWhatIsMissingUnknownOrOfAnotherType) {
  const Table good = to_table(runs_of("[[method]]\nplugin = \"full\"\n").at(0));
  for (const auto& [key, value] : good) {
    Table table = good;
    table.erase(key);
    EXPECT_THROW(from_table(table), FormatError) << key << " missing";
    table[key] = Table{{"x", 1}};
    EXPECT_THROW(from_table(table), FormatError) << key << " of another type";
  }
  Table table = good;
  table["surprise"] = 1;
  EXPECT_THROW(from_table(table), FormatError);
  table = good;
  std::get<Table>(table["train"].data).erase("shuffle");
  EXPECT_THROW(from_table(table), FormatError);
}

TEST(VariantKey, IsStable) {
  // Stores hold these: if this test fails, the rule has changed, and its number must change with it.
  const RunSpec run = runs_of("[[method]]\nplugin = \"lora\"\nrank = 8\nalpha = 32.0\n").at(0);
  EXPECT_EQ(variant_key(run, {{"base", "00"}, {"train", "11"}}),
            "cb7bf82682e01463f5831d5a6e40558a2f7aa6b04d4e317e4bfb1bbe4787310c");
}

TEST(VariantKey, ChangesWithTheOutcomeAndWithNothingElse) {
  const RunSpec run = runs_of(kTwoMethods).at(1);
  const Checksums sums = {{"base", "00"}, {"train", "11"}};
  const std::string key = variant_key(run, sums);
  EXPECT_EQ(variant_key(run, sums), key);

  const auto changed = [&](const std::function<void(RunSpec&)>& change) {
    RunSpec other = run;
    change(other);
    EXPECT_NE(other, run);
    return variant_key(other, sums) != key;
  };
  EXPECT_FALSE(changed([](RunSpec& r) { r.seed = 1; }));
  EXPECT_FALSE(changed([](RunSpec& r) { r.label = "other"; }));
  EXPECT_FALSE(changed([](RunSpec& r) { r.experiment = "other"; }));
  EXPECT_FALSE(changed([](RunSpec& r) { r.is_baseline = true; }));
  EXPECT_FALSE(changed([](RunSpec& r) { r.primary = "bleu"; }));
  EXPECT_FALSE(changed([](RunSpec& r) { r.model_path = "/elsewhere"; }));
  EXPECT_FALSE(changed([](RunSpec& r) { r.train_data = "/elsewhere"; }));

  EXPECT_TRUE(changed([](RunSpec& r) { r.methods[0].plugin = "full"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.methods[0].options["rank"] = 5; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.methods.push_back({"prefix", {}}); }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.model_init = "random"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.model_dtype = "bfloat16"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.dataset.options["workers"] = 2; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.max_length = 64; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.metrics[0].options["tokenize"] = "char"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.epochs = 9; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.batch_size = 9; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.gradient_accumulation = 9; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.learning_rate = 9; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.lr_scheduler = "cosine"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.warmup_ratio = 0.5; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.weight_decay = 0.5; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.max_grad_norm = 0.5; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.precision = "bf16"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.shuffle = false; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.eval_every_steps = 7; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.gradient_checkpointing = true; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.cuda_graphs = true; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.optimizer = "other"; }));
  EXPECT_TRUE(changed([](RunSpec& r) { r.train.threads = 3; }));

  EXPECT_NE(variant_key(run, {{"base", "01"}, {"train", "11"}}), key);
  EXPECT_NE(variant_key(run, {{"base", "00"}, {"test", "11"}}), key);
}

}  // namespace
}  // namespace peftlab::plan
