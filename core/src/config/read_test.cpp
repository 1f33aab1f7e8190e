#include "config/read.h"
#include "config/fake_plugins.h"
#include "config/variants.h"

#include <peftlab/error.h>

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include <sys/stat.h>

namespace peftlab::config {
namespace {

using Strings = std::vector<std::string>;

Experiment parse(const std::string& text, const Strings& overrides = {}) {
  return parse_experiment(text, "/lab/exp/compare.toml", fake_plugins, overrides);
}

/// The text of the errors, or "no error".
std::string errors(const std::string& text, const Strings& overrides = {}) {
  try {
    parse_experiment(text, "compare.toml", fake_plugins, overrides);
  } catch (const ConfigError& e) {
    return e.what();
  }
  return "no error";
}

/// Only the first lines, "error: ...", of each error.
std::string messages(const std::string& text, const Strings& overrides = {}) {
  std::string all = errors(text, overrides);
  std::string found;
  for (size_t at = 0; (at = all.find("error: ", at)) != std::string::npos;) {
    const size_t end = all.find('\n', at);
    found += all.substr(at + 7, end - at - 6);
    at = end;
  }
  return found;
}

TEST(ReadExperiment, DefaultsAreTheContracts) {
  const Experiment e = parse(minimal_file());
  EXPECT_EQ(e.name, "x");
  EXPECT_EQ(e.baseline, "");
  EXPECT_EQ(e.primary, "loss");
  EXPECT_EQ(e.seeds, std::vector<int64_t>{0});
  EXPECT_EQ(e.model.path, "/lab/exp/base");
  EXPECT_EQ(e.model.init, "pretrained");
  EXPECT_EQ(e.model.dtype, "float32");
  EXPECT_EQ(e.data.train, "/lab/exp/train.csv");
  EXPECT_TRUE(e.data.validation.empty() && e.data.test.empty() && e.data.retention.empty());
  EXPECT_EQ(e.data.max_length, std::nullopt);
  TrainSection expected;
  expected.epochs = 3;
  EXPECT_EQ(e.train, expected);
  EXPECT_EQ(e.train.batch_size, 4);
  EXPECT_EQ(e.train.learning_rate, 1e-4);
  ASSERT_EQ(e.methods.size(), 1u);
  EXPECT_EQ(e.methods[0].label, "full");
  EXPECT_TRUE(e.metrics.empty());
}

TEST(ReadExperiment, ReadsEveryKey) {
  const std::string text = R"(schema = 1
[experiment]
name = "emoji-captions"
baseline = "full"
primary = "bleu"
seeds = [0, 1, 2]
[model]
pretrain = "../pretrain.toml"
dtype = "bfloat16"
[data]
plugin = "image_text"
train = "data/train.csv"
validation = "data/validation.csv"
test = "/data/test.csv"
retention = "data/base_test.csv"
max_length = 64
workers = 2
[train]
steps = 300
batch_size = 8
gradient_accumulation = 2
learning_rate = 1
lr_scheduler = "cosine"
warmup_ratio = 0.1
weight_decay = 0.01
max_grad_norm = 0
precision = "fp16"
shuffle = false
eval_every = 50
gradient_checkpointing = false
cuda_graphs = true
optimizer = "adamw"
threads = 2
[[method]]
label = "full"
plugin = "full"
[[method]]
label = "lora-r{rank}"
plugin = "lora"
rank = 8
targets = ["query_key_value"]
train.learning_rate = 5e-4
train.epochs = 2
grid = { rank = [4, 8], train.batch_size = [1, 2] }
[[metric]]
plugin = "bleu"
tokenize = "char"
)";
  // The label leaves out the batch size, so that the grid's labels meet: the one thing wrong here.
  EXPECT_EQ(messages(text), "the grid makes several methods with the label \"lora-r4\"\n");
  EXPECT_NE(errors(text).find("put {train.batch_size} in it"), std::string::npos);
  const Experiment e = parse(text, {"method.lora-r{rank}.label=lora-r{rank}-b{batch_size}"});
  EXPECT_EQ(e.seeds, (std::vector<int64_t>{0, 1, 2}));
  EXPECT_EQ(e.model.path, "");
  EXPECT_EQ(e.model.pretrain, "/lab/pretrain.toml");
  EXPECT_EQ(e.data.test, "/data/test.csv");
  EXPECT_EQ(e.data.max_length, 64);
  EXPECT_EQ(to_json(e.data.dataset.options), R"({"workers":2})");
  EXPECT_EQ(e.data.dataset.where.at("workers"), (Location{"/lab/exp/compare.toml", 17, 11, 1}));
  TrainSection t{std::nullopt, 300, 8, 2, 1.0, "cosine", 0.1, 0.01, 0.0, "fp16", false, 50, false, true, "adamw", 2};
  EXPECT_EQ(e.train, t);
  const MethodSection& lora = e.methods.at(1);
  EXPECT_EQ(to_json(lora.plugins.at(0).options), R"({"rank":8,"targets":["query_key_value"]})");
  EXPECT_EQ(to_json(lora.train), R"({"epochs":2,"learning_rate":5e-04})");
  EXPECT_EQ(to_json(lora.grid.at("rank")), "[4,8]");
  EXPECT_EQ(to_json(lora.grid.at("train.batch_size")), "[1,2]");
  EXPECT_EQ(to_json(e.metrics.at(0).options), R"({"tokenize":"char"})");
  EXPECT_EQ(e.text, text);
}

TEST(ReadExperiment, AllErrorsInOnePassAsText) {
  const std::string text = R"(schema = 1
[experiment]
name = "emoji"
baseline = "ful"
seed = [0, 1]
[model]
path = "base"
dtype = "fp16"
[data]
plugin = "image_text"
train = "train.csv"
wrkers = 2
[train]
epochs = 3
steps = 10
learning_rate = nan
rank = 8
[[method]]
label = "full"
plugin = "full"
[[method]]
label = "lora-r8"
plugin = "lora"
rank = "8"
learning_rte = 1e-3
learning_rate = 1e-3
)";
  EXPECT_EQ(errors(text), R"(error: `baseline` = "ful" is no method's label
 --> compare.toml:4:12
  |
4 | baseline = "ful"
  |            ^^^^^ did you mean "full"?
  = labels: full, lora-r8

error: unknown key `seed` in [experiment]
 --> compare.toml:5:1
  |
5 | seed = [0, 1]
  | ^^^^ did you mean `seeds`?
  = keys of [experiment]: name, baseline, primary, seeds, match, match_to, match_tolerance, match_steps

error: `dtype` must be "float32", "bfloat16" or "float16", found the string "fp16"
 --> compare.toml:8:9
  |
8 | dtype = "fp16"
  |         ^^^^^^

error: unknown key `wrkers` in [data]
  --> compare.toml:12:1
   |
12 | wrkers = 2
   | ^^^^^^ did you mean `workers`?
   = keys of plugin `image_text`: workers; of [data]: plugin, train, validation, test, retention, max_length

error: `steps` cannot stand beside `epochs`: give one of them
  --> compare.toml:15:9
   |
15 | steps = 10
   |         ^^

error: `learning_rate` must be finite, found nan
  --> compare.toml:16:17
   |
16 | learning_rate = nan
   |                 ^^^

error: `rank` belongs to plugin `lora`, not to [train]
  --> compare.toml:17:1
   |
17 | rank = 8
   | ^^^^
   = keys of [train]: epochs, steps, batch_size, gradient_accumulation, learning_rate, lr_scheduler, warmup_ratio, weight_decay, max_grad_norm, precision, shuffle, eval_every, gradient_checkpointing, cuda_graphs, optimizer, threads

error: `rank` must be an integer, found the string "8"
  --> compare.toml:24:8
   |
24 | rank = "8"
   |        ^^^
   = remove the quotes

error: unknown key `learning_rte` in [[method]] "lora-r8"
  --> compare.toml:25:1
   |
25 | learning_rte = 1e-3
   | ^^^^^^^^^^^^ did you mean `train.learning_rate`?
   = keys of plugin `lora`: rank, alpha, dropout, targets; of every [[method]]: label, plugin, train, grid, use, size

error: `learning_rate` belongs to [train], not to [[method]] "lora-r8"
  --> compare.toml:26:1
   |
26 | learning_rate = 1e-3
   | ^^^^^^^^^^^^^ write `train.learning_rate`
   = keys of plugin `lora`: rank, alpha, dropout, targets; of every [[method]]: label, plugin, train, grid, use, size

10 errors; nothing was run)");
}

TEST(ReadExperiment, AnEmptyFileLacksItsSections) {
  EXPECT_EQ(errors(""), R"(error: `schema` is missing in the file
 --> compare.toml
  = an integer: the version of this format, 1

error: the section [experiment] is missing
 --> compare.toml

error: the section [model] is missing
 --> compare.toml

error: the section [data] is missing
 --> compare.toml

error: there is no [[method]]: nothing to run
 --> compare.toml

5 errors; nothing was run)");
}

TEST(ReadExperiment, AnotherSchemaIsRefusedWithBothVersions) {
  EXPECT_EQ(messages("schema = 2\n[experment]\n"),
            "`schema` must be 1, which is what this version of peftlab reads, found the integer 2\n");
}

TEST(ReadExperiment, MalformedTomlIsAnErrorWithItsPlace) {
  EXPECT_EQ(errors("schema = 1\n[[["),
            R"(error: not TOML: expected bare key starting character or string delimiter, saw '['
 --> compare.toml:2:3
  |
2 | [[[
  |   ^

1 error; nothing was run)");
  EXPECT_EQ(messages("[.a]"), "not TOML: expected bare key starting character or string delimiter, saw '.'\n");
  EXPECT_NE(errors("a = 1\na = 2").find("compare.toml:2:"), std::string::npos);
  EXPECT_NE(errors("x = yes").find("compare.toml:1:5"), std::string::npos);
  EXPECT_NE(errors("x = \"\xff\"").find("utf-8"), std::string::npos);
  EXPECT_NE(errors(std::string(5000, '[')).find("not TOML"), std::string::npos);
  EXPECT_NE(errors("x = " + std::string(5000, '[')).find("not TOML"), std::string::npos);
}

TEST(ReadExperiment, ATerminalIsSafeFromTheSourceLine) {
  const std::string text = errors("x = 1\033[31m\n");
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_NE(text.find("1 | x = 1?[31m"), std::string::npos) << text;
}

/// minimal_file() with validation data, and `more` keys in [experiment].
std::string searching_file(const std::string& more, const std::string& methods) {
  std::string text = minimal_file(methods);
  text.replace(text.find("name = \"x\"\n"), 11, "name = \"x\"\n" + more);
  return text.replace(text.find("train = "), 8, "validation = \"v.csv\"\ntrain = ");
}

TEST(Tune, ListsWhatEveryMethodIsTriedWith) {
  const Experiment e = parse(searching_file("seeds = [3, 4]\n",
                                            "[tune]\nlearning_rate = [1e-4, 1e-3]\nbatch_size = [2, 4]\ntrials = 3\n"
                                            "[[method]]\nplugin = \"full\"\n"));
  ASSERT_TRUE(e.tune.has_value());
  EXPECT_EQ(e.tune->values, (std::map<std::string, List>{{"learning_rate", {1e-4, 1e-3}}, {"batch_size", {2, 4}}}));
  EXPECT_EQ(e.tune->trials, 3);
  EXPECT_EQ(e.tune->seconds, std::nullopt);
  EXPECT_EQ(e.tune->seed, 3);
  EXPECT_FALSE(parse(minimal_file()).tune.has_value());
}

TEST(Tune, WhatIsWrongWithIt) {
  const std::string full = "[[method]]\nplugin = \"full\"\n";
  EXPECT_EQ(messages(minimal_file("[tune]\nlearning_rate = [1e-4]\n" + full)),
            "[tune] chooses on validation data, and [data] has none\n");
  const auto tuned = [&](const std::string& keys, const std::string& methods) {
    return messages(searching_file("", "[tune]\n" + keys + methods));
  };
  EXPECT_EQ(tuned("", full), "[tune] lists no values to try\n");
  EXPECT_EQ(tuned("learning_rate = 1e-4\n", full),
            "[tune]'s `train.learning_rate` must be a list with at least one value\n");
  EXPECT_EQ(tuned("learning_rate = [1e-4, 0.0]\n", full),
            "`learning_rate` must be greater than 0, found the real number 0.0\n");
  EXPECT_EQ(tuned("learning_rate = [1e-4, 1e-4]\n", full), "[tune]'s `train.learning_rate` holds 1e-04 twice\n");
  EXPECT_EQ(tuned("learning_rat = [1e-4]\n", full), "unknown key `learning_rat` in [train]\n");
  EXPECT_EQ(tuned("threads = [1, 2]\n", full),
            "`threads` is nothing to be tuned: it changes no result that is compared\n");
  EXPECT_EQ(tuned("steps = [1, 2]\nepochs = [1, 2]\n", full),
            "`steps` cannot be tried beside `epochs`: give one of them\n");
  EXPECT_EQ(tuned("learning_rate = [1e-4]\ntrials = 0\nseconds = 0.0\nseed = -1\n", full),
            "`trials` must be from 1 to 1000000000, found the integer 0\n"
            "`seconds` must be greater than 0, found the real number 0.0\n"
            "`seed` must be at least 0, found the integer -1\n");
  EXPECT_EQ(tuned("learning_rate = [1e-4]\n", full + "train.learning_rate = 1e-3\n"),
            "[tune] chooses `learning_rate` for every method, and [[method]] 1 says it too\n");
  EXPECT_EQ(tuned("learning_rate = [1e-4]\n", full + "label = \"f{learning_rate}\"\n"),
            "the label of [[method]] 1 asks for {learning_rate}, which [tune] chooses later\n");
  EXPECT_EQ(tuned("steps = [1, 2]\n", full + "train.epochs = 1\n"),
            "[tune] chooses `steps` for every method, and [[method]] 1 says it too\n");
}

TEST(Match, NamesACostAndTheOptionsThatAreSizes) {
  const std::string methods = "[[method]]\nplugin = \"full\"\n[[method]]\nplugin = \"lora\"\nsize = \"rank\"\n";
  const Experiment e =
      parse(searching_file("match = \"parameters\"\nbaseline = \"full\"\nmatch_tolerance = 0.2\n", methods));
  EXPECT_EQ(e.match.cost, "parameters");
  EXPECT_EQ(e.match.to, "full");
  EXPECT_EQ(e.match.tolerance, 0.2);
  EXPECT_EQ(e.match.steps, 10);
  EXPECT_EQ(e.methods[0].size, "");
  EXPECT_EQ(e.methods[1].size, "rank");
  EXPECT_TRUE(e.methods[1].plugins[0].options.empty()) << "`size` is no option of the plugin";
}

TEST(Match, WhatIsWrongWithIt) {
  const auto lora = [](const std::string& keys) { return "[[method]]\nplugin = \"lora\"\n" + keys; };
  const auto matched = [&](const std::string& keys, const std::string& methods) {
    return messages(searching_file(keys, methods));
  };
  const std::string ok = "match = \"parameters\"\nmatch_to = \"lora\"\n";
  EXPECT_EQ(matched("match = \"size\"\nmatch_to = \"lora\"\n", lora("")),
            "`match` must be \"parameters\", \"seconds\" or \"memory\", found the string \"size\"\n");
  EXPECT_EQ(matched("match = \"seconds\"\n", lora("")), "`match` needs a method to match to\n");
  EXPECT_EQ(matched("match = \"seconds\"\nmatch_to = \"lor\"\n", lora("")),
            "`match_to` = \"lor\" is no method's label\n");
  EXPECT_EQ(matched("match_tolerance = 0.5\n", lora("")), "`match_tolerance` means nothing without `match`\n");
  EXPECT_EQ(matched("", lora("size = \"rank\"\n")),
            "`size` names what `match` chooses, and [experiment] has no `match`\n");
  EXPECT_EQ(matched(ok, lora("size = \"alpha\"\n")), "`size` = \"alpha\" is no integer option of plugin `lora`\n");
  EXPECT_EQ(matched(ok, lora("size = \"rank\"\nlabel = \"lora\"\ngrid = { rank = [1] }\n")),
            "`match` chooses `rank`, and the grid says it too\n");
  EXPECT_EQ(matched("match = \"memory\"\nmatch_to = \"r8\"\n", lora("size = \"rank\"\nlabel = \"r{rank}\"\n")),
            "the label asks for {rank}, which `match` chooses later\n");
  EXPECT_EQ(
      matched(ok, lora("") + "[[method]]\nlabel = \"both\"\nsize = \"rank\"\nuse = [{ plugin = \"lora\" }, { plugin = "
                             "\"prefix\", tokens = 2 }]\n"),
      "`size` can be given for one plugin, not for several on one model\n");
}

TEST(ReadExperiment, KnowsTheOptimizersByName) {
  for (const std::string name : {"adamw", "paged_adamw", "adamw8bit"}) {
    const Experiment e = parse(minimal_file("[train]\noptimizer = \"" + name + "\"\n[[method]]\nplugin = \"full\"\n"));
    EXPECT_EQ(e.train.optimizer, name);
  }
  const std::string text = messages(minimal_file("[train]\noptimizer = \"sgd\"\n[[method]]\nplugin = \"full\"\n"));
  EXPECT_NE(text.find("must be \"adamw\", \"paged_adamw\" or \"adamw8bit\""), std::string::npos) << text;
}

TEST(ReadExperiment, SeveralPluginsOnOneModel) {
  const Experiment e =
      parse(minimal_file("[[method]]\nlabel = \"mix {lora.rank} {train.steps}\"\n"
                         "use = [{ plugin = \"lora\", rank = 2 }, { plugin = \"prefix\", tokens = 1 }]\n"
                         "grid = { \"lora.rank\" = [4, 8], \"train.steps\" = [5] }\n"));
  ASSERT_EQ(e.methods.size(), 1u);
  ASSERT_EQ(e.methods[0].plugins.size(), 2u);
  EXPECT_EQ(e.methods[0].plugins[0].plugin, "lora");
  EXPECT_EQ(e.methods[0].plugins[1].plugin, "prefix");
  const auto all = variants(e.methods[0], e.train);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].label, "mix 8 5");
  EXPECT_EQ(to_json(all[1].plugins[0].options), R"({"rank":8})");
  EXPECT_EQ(to_json(all[1].plugins[1].options), R"({"tokens":1})");
}

TEST(ReadExperiment, WhatIsWrongWithUse) {
  const auto use = [](const std::string& line) { return messages(minimal_file("[[method]]\nlabel = \"m\"\n" + line)); };
  EXPECT_EQ(use("use = []\n"), "`use` must be a list of tables in [[method]] \"m\"\n");
  EXPECT_EQ(use("use = [{ rank = 8 }]\n"), "`plugin` is missing in `use` of [[method]] \"m\"\n");
  EXPECT_EQ(use("plugin = \"lora\"\nuse = [{ plugin = \"prefix\", tokens = 1 }]\n"),
            "`plugin` and `use` are both given in [[method]] \"m\"\n");
  EXPECT_EQ(use("rank = 8\nuse = [{ plugin = \"lora\" }, { plugin = \"prefix\", tokens = 1 }]\n"),
            "`rank` stands beside `use` in [[method]] \"m\"\n");
  EXPECT_EQ(use("use = [{ plugin = \"lora\" }, { plugin = \"lora\" }]\n"),
            "`use` of [[method]] \"m\" names the plugin `lora` twice\n");
  EXPECT_EQ(use("use = [{ plugin = \"full\" }, { plugin = \"lora\" }]\n"),
            "`full` trains and saves the whole model: nothing can stand beside it in [[method]] \"m\"\n");
  EXPECT_EQ(use("use = [{ plugin = \"lora\", rnak = 2 }, { plugin = \"prefix\", tokens = 1 }]\n"),
            "unknown key `rnak` in `use` of [[method]] \"m\"\n");
  EXPECT_EQ(use("use = [{ plugin = \"lora\" }, { plugin = \"prefix\", tokens = 1 }]\ngrid = { rank = [2] }\n"),
            "the grid's `rank` names no plugin of `use` in [[method]] \"m\"\n");
  EXPECT_EQ(use("use = [{ plugin = \"lora\" }, { plugin = \"prefix\", tokens = 1 }]\ngrid = { \"lora.rank\" = [0] }\n"),
            "`rank` must be at least 1, found the integer 0\n");
}

TEST(ReadExperiment, RangesAndTypes) {
  const auto train = [](const std::string& line) {
    return messages(minimal_file("[train]\n" + line + "\n[[method]]\nplugin = \"full\"\n"));
  };
  EXPECT_EQ(train("epochs = 0"), "`epochs` must be from 1 to 1000000000, found the integer 0\n");
  EXPECT_EQ(train("batch_size = 2.0"), "`batch_size` must be an integer, found the real number 2.0\n");
  EXPECT_EQ(train("learning_rate = 0"), "`learning_rate` must be greater than 0, found the real number 0.0\n");
  EXPECT_EQ(train("learning_rate = inf"), "`learning_rate` must be finite, found inf\n");
  EXPECT_EQ(train("warmup_ratio = 1.5"), "`warmup_ratio` must be from 0 to 1, found the real number 1.5\n");
  EXPECT_EQ(train("max_grad_norm = -1"), "`max_grad_norm` must be at least 0, found the real number -1.0\n");
  EXPECT_EQ(train("shuffle = 1"), "`shuffle` must be a boolean, found the integer 1\n");
  EXPECT_EQ(train("eval_every = \"step\""),
            "`eval_every` must be \"epoch\" or a number of steps, found the string \"step\"\n");
  EXPECT_EQ(train("eval_every = 0"), "`eval_every` must be from 1 to 1000000000, found the integer 0\n");
  EXPECT_EQ(train("epochs = 2020-01-01"), "no option takes a date or a time\n");
  EXPECT_EQ(train("threads = 0"), "");

  const auto experiment = [](const std::string& line) { return messages(minimal_file(), {"experiment." + line}); };
  EXPECT_EQ(experiment("seeds=[]"), "`seeds` must hold at least one seed, found a list\n");
  EXPECT_EQ(experiment("seeds=[1, 1]"), "`seeds` must not hold a seed twice, found a list\n");
  EXPECT_EQ(experiment("seeds=[-1]"), "`seeds` must hold integers >= 0, found a list\n");
  EXPECT_EQ(experiment("name=''"), "`name` must be a name on one line, found the string \"\"\n");
  EXPECT_EQ(experiment("primary=bleu"), "`primary` = \"bleu\" is not measured: there is no [[metric]] of this name\n");

  EXPECT_EQ(messages(minimal_file(), {"model.pretrain=a.toml"}),
            "`pretrain` cannot stand beside `path`: give one of them\n");
  EXPECT_EQ(messages(minimal_file(), {"model.path=''"}), "`path` must be a path, found the string \"\"\n");
  EXPECT_EQ(messages(minimal_file(), {"train.cuda_graphs=true", "train.gradient_checkpointing=true"}),
            "`cuda_graphs` cannot be had beside gradient_checkpointing, which draws its random numbers anew\n");
  EXPECT_EQ(messages(minimal_file(), {"data.test=3"}), "`test` must be a string, found the integer 3\n");
  EXPECT_EQ(messages(minimal_file(), {"data.plugin=imagetext"}), "there is no dataset plugin `imagetext`\n");
  EXPECT_EQ(messages(minimal_file("[method]\nplugin = \"full\"\n")),
            "`method` must be a list of sections, found a table\n");
  EXPECT_EQ(messages(minimal_file("[[train]]\n[[method]]\nplugin = \"full\"\n")),
            "`train` must be a section, found a list\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nplugin = \"prefix\"\n")), "`tokens` is missing in [[method]] 1\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nlabel = \"a\"\n")), "`plugin` is missing in [[method]] \"a\"\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nplugin = \"loar\"\n")), "there is no method plugin `loar`\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nplugin = \"full\"\n[[metric]]\nplugin = \"bleu\"\n[[metric]]\n"
                                  "plugin = \"bleu\"\n")),
            "the metric `bleu` is there twice\n");
}

TEST(ReadExperiment, EveryCombinationOfAGridIsChecked) {
  const std::string text = minimal_file(
      "[[method]]\nlabel = \"l{rank}{alfa}\"\nplugin = \"lora\"\n"
      "grid = { rank = [4, 0, 8, 8], alfa = [1, 2], train.learning_rate = [1e-3, -1], alpha = 3, dropout = [] }\n");
  EXPECT_EQ(messages(text),
            "the grid makes several methods with the label \"l41\"\n"
            "`rank` must be at least 1, found the integer 0\n"
            "the grid's `rank` holds 8 twice\n"
            "unknown key `alfa` in [[method]] \"l{rank}{alfa}\"\n"
            "`learning_rate` must be greater than 0, found the real number -1.0\n"
            "the grid's `alpha` must be a list with at least one value\n"
            "the grid's `dropout` must be a list with at least one value\n");
  // A value of the grid takes the place of the one beside it, and what must be given may be given by the grid.
  EXPECT_EQ(messages(minimal_file("[[method]]\nlabel = \"p{tokens}\"\nplugin = \"prefix\"\n"
                                  "grid = { tokens = [1, 2] }\n")),
            "");
}

TEST(ReadExperiment, APluginMayThrowItsComplaint) {
  EXPECT_EQ(messages(minimal_file("[[method]]\nplugin = \"throwing\"\n")), "plugin throwing: 3 is no good\n");
}

TEST(ReadExperiment, LabelsAreDistinctAndFilled) {
  EXPECT_EQ(messages(minimal_file("[[method]]\nplugin = \"full\"\n[[method]]\nlabel = \"full\"\nplugin = \"lora\"\n")),
            "[[method]] 1 and [[method]] 2 both have the label \"full\"\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nlabel = \"r{rnk}\"\nplugin = \"lora\"\n")),
            "`label` asks for {rnk}, which is no option of this method\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nlabel = \"r{rank\"\nplugin = \"lora\"\n")),
            "`label` = \"r{rank\" has a `{` without a `}`\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nlabel = \"r{rank}\"\nplugin = \"lora\"\n"), {"experiment.baseline=r8"}),
            "");  // the rank is the plugin's default
}

TEST(ReadExperiment, AFileMayNotAskForMoreThanTenThousandRuns) {
  std::string seeds = "0";
  for (int i = 1; i < 5001; ++i) {
    seeds += ',';
    seeds += std::to_string(i);
  }
  const std::string text =
      minimal_file("[[method]]\nlabel = \"r{rank}\"\nplugin = \"lora\"\ngrid = { rank = [1, 2] }\n");
  EXPECT_EQ(messages(text, {"experiment.seeds=[" + seeds + "]"}), "the file asks for more than 10000 runs\n");
  EXPECT_EQ(messages(text, {"experiment.seeds=[" + seeds.substr(0, seeds.rfind(',')) + "]"}), "");
}

TEST(ReadExperiment, AtMostTwentyErrorsAreShown) {
  std::string train = "[train]\n";
  for (char c = 'a'; c < 'a' + 25; ++c) {
    train += std::string("zz") + c + "zzzzz = 1\n";
  }
  const std::string text = errors(minimal_file(train + "[[method]]\nplugin = \"full\"\n"));
  EXPECT_NE(text.find("zztzzzzz"), std::string::npos);
  EXPECT_EQ(text.find("zzuzzzzz"), std::string::npos);
  EXPECT_TRUE(text.ends_with("25 errors, 5 of them not shown; nothing was run")) << text;
}

TEST(Overrides, TakeTheFilesPlace) {
  const std::string text = minimal_file(
      "[train]\nepochs = 3\n[[method]]\nlabel = \"lora-r0.5\"\nplugin = \"lora\"\nrank = 8\n"
      "[[metric]]\nplugin = \"bleu\"\n");
  const Experiment e =
      parse(text, {"train.steps=5", "experiment.name=a b", "data.max_length = 16", "experiment.seeds=[3, 4]",
                   "method.lora-r0.5.rank=4", "method.lora-r0.5.train.learning_rate=1e-3", "metric.bleu.tokenize=char",
                   "model.path=\"x=y\""});
  EXPECT_EQ(e.train.steps, 5);
  EXPECT_EQ(e.train.epochs, std::nullopt);  // to ask for steps is to ask for no epochs
  EXPECT_EQ(e.name, "a b");
  EXPECT_EQ(e.data.max_length, 16);
  EXPECT_EQ(e.seeds, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(to_json(e.methods[0].plugins[0].options), R"({"rank":4})");
  EXPECT_EQ(to_json(e.methods[0].train), R"({"learning_rate":0.001})");
  EXPECT_EQ(to_json(e.metrics[0].options), R"({"tokenize":"char"})");
  EXPECT_EQ(e.model.path, "/lab/exp/x=y");
  EXPECT_EQ(e.overrides.size(), 8u);
}

TEST(Overrides, TheLongestLabelIsMeant) {
  const std::string text = minimal_file(
      "[[method]]\nlabel = \"lora.train\"\nplugin = \"lora\"\n[[method]]\nlabel = \"lora\"\nplugin = \"lora\"\n");
  const Experiment e = parse(text, {"method.lora.train.rank=4"});
  EXPECT_EQ(to_json(e.methods[0].plugins[0].options), R"({"rank":4})");
}

TEST(Overrides, ErrorsNameTheOverride) {
  EXPECT_EQ(errors(minimal_file(), {"train.stesp=5"}), R"(error: unknown key `stesp` in [train]
 --> --set train.stesp=5
  = did you mean `steps`?
  = keys of [train]: epochs, steps, batch_size, gradient_accumulation, learning_rate, lr_scheduler, warmup_ratio, weight_decay, max_grad_norm, precision, shuffle, eval_every, gradient_checkpointing, cuda_graphs, optimizer, threads

1 error; nothing was run)");
  EXPECT_EQ(messages(minimal_file(), {"steps"}), "--set takes KEY=VALUE, such as train.steps=100\n");
  EXPECT_EQ(messages(minimal_file(), {"train.steps=[1"}).substr(0, 21), "the value is not TOML");
  EXPECT_EQ(messages(minimal_file(), {"train.steps=many"}), "`steps` must be an integer, found the string \"many\"\n");
  EXPECT_EQ(messages(minimal_file(), {"train.steps=5", "train.epochs=5"}),
            "`steps` cannot stand beside `epochs`: give one of them\n");
  EXPECT_EQ(messages(minimal_file(), {"method.lora.rank=5"}),
            "`method.lora.rank` names none of the [[method]] tables\n");
  EXPECT_EQ(messages(minimal_file(), {"train.steps.x=5", "nothing=1"}),
            "unknown key `nothing` in the file\n`steps` must be an integer, found a table\n");
  EXPECT_EQ(messages(minimal_file("[[method]]\nlabel = \"r{rank}\"\nplugin = \"lora\"\ngrid = { rank = [2] }\n"),
                     {"method.r{rank}.rank=3"}),
            "`rank` is in the method's grid, which would win\n");
  EXPECT_NE(errors(minimal_file(), {"train.steps=" + std::string(200, 'x')})
                .find("--> --set train.steps=" + std::string(88, 'x') + "...\n"),
            std::string::npos);
  EXPECT_EQ(messages(minimal_file(), {"experiment.name=\xff"}).substr(0, 18), "the value is not U");
}

TEST(ReadFile, OnlyRegularFilesOfAtMostOneMebibyte) {
  const std::filesystem::path folder = std::filesystem::path(::testing::TempDir()) / "peftlab_read_test";
  std::filesystem::create_directories(folder);
  const auto failure = [&](const std::filesystem::path& path) -> std::string {
    try {
      read_experiment(path, fake_plugins);
    } catch (const ConfigError& e) {
      return e.what();
    }
    return "no error";
  };
  std::ofstream(folder / "good.toml") << minimal_file();
  EXPECT_EQ(read_experiment(folder / "good.toml", fake_plugins).data.train, folder / "train.csv");
  EXPECT_NE(failure(folder / "none.toml").find("No such file"), std::string::npos);
  EXPECT_NE(failure(folder).find("not a regular file"), std::string::npos);
  ASSERT_EQ(mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_NE(failure(folder / "pipe").find("not a regular file"), std::string::npos);
  std::ofstream(folder / "large.toml") << minimal_file() << "#" << std::string(1 << 20, 'x');
  EXPECT_NE(failure(folder / "large.toml").find("larger than 1 MiB"), std::string::npos);
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace peftlab::config
