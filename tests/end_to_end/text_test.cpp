/// Texts with classes from a folder as transformers writes it to adapters that answer as they did: every command on the
/// way.

#include "workshop.h"

#include "support/files.h"

#include <peftlab/value.h>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <map>

namespace peftlab::end_to_end {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string oracle(const std::string& folder) {
  return (fs::path(std::getenv("PEFTLAB_SOURCE_DIR")) / "tests/oracle" / folder).string();
}

/// Words of the tiny tokenizer: the class is told by the first.
std::string rows(int from, int to) {
  std::string text = "text,label\n";
  for (int i = from; i < to; ++i)
    text +=
        fmt::format("{} {}{},{}\n", i % 2 ? "cat" : "dog", "the ", i % 3 ? "sat" : "ran", i % 2 ? "purrs" : "barks");
  return text;
}

const Workshop& compared() {
  static const Workshop* shop = [] {
    auto* made = new Workshop("texts");
    made->write("train_text.csv", rows(0, 24));
    made->write("test_text.csv", rows(24, 34));
    std::string experiment = fmt::format(
        "schema = 1\n[experiment]\nname = \"texts\"\nbaseline = \"full\"\nprimary = \"accuracy\"\nseeds = [3]\n"
        "[model]\npath = \"{}\"\nlabels = [\"barks\", \"purrs\"]\n[data]\nplugin = \"text\"\ntrain = "
        "\"train_text.csv\"\n"
        "test = \"test_text.csv\"\n[train]\nepochs = 12\nbatch_size = 4\nlearning_rate = 5e-3\nthreads = 1\n",
        oracle("bert/bert"));
    for (const char* method : {"full", "lora", "adapter", "prefix", "prompt"}) {
      experiment += fmt::format("[[method]]\nlabel = \"{0}\"\nplugin = \"{0}\"\n", method);
    }
    made->write("texts.toml", experiment + "[[metric]]\nplugin = \"accuracy\"\n[[metric]]\nplugin = \"f1\"\n");
    const Said said = made->peftlab({"run", "texts.toml"});
    EXPECT_EQ(said.exit_code, 0) << said.err;
    return made;
  }();
  return *shop;
}

/// A score of the only run of `label`.
double stored(const std::string& label, const std::string& metric) {
  const Said said = compared().peftlab({"query", "SELECT value FROM v_score WHERE label = '" + label +
                                                     "' AND metric = '" + metric + "' AND split = 'test'"});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  return *parse_json(said.out, "query").get_if<List>()->at(0).find("value")->get_if<double>();
}

TEST(Texts, AClassifierLearnsWhatItsWordsSay) {
  EXPECT_EQ(stored("full", "accuracy"), 1.0);
  EXPECT_LT(stored("full", "loss"), 0.5);  // ln 2 = 0.69 at first
}

TEST(Texts, AnAdapterWithItsHeadScoresAsItDidToTheLastDigit) {
  for (const char* method : {"lora", "adapter", "prefix", "prompt"}) {
    SCOPED_TRACE(method);
    const Said runs =
        compared().peftlab({"query", fmt::format("SELECT run_uuid FROM v_runs WHERE label = '{}'", method)});
    const std::string uuid =
        *parse_json(runs.out, "query").get_if<List>()->at(0).find("run_uuid")->get_if<std::string>();
    const std::string folder = std::string("exported_") + method;
    EXPECT_EQ(compared().peftlab({"adapter", "export", uuid, "--to", folder}).exit_code, 0);
    // The base is no classifier: that it becomes one, and of which classes, the adapter's folder says.
    const Said said = compared().peftlab(
        {"eval", "--model", oracle("bert/bert"), "--adapter", folder, "--data", "test_text.csv", "--metric", "f1"});
    ASSERT_EQ(said.exit_code, 0) << said.err;
    const Value scores = parse_json(said.out, "eval");
    std::map<std::string, double> by_name;
    for (const Value& score : *scores.get_if<List>()) {
      by_name[*score.find("metric")->get_if<std::string>()] = *score.find("value")->get_if<double>();
      EXPECT_EQ(*score.find("n_items"), Value(10));
    }
    for (const char* metric : {"loss", "accuracy", "f1"}) {
      ASSERT_TRUE(by_name.count(metric)) << metric;
      EXPECT_EQ(by_name[metric], stored(method, metric)) << metric;
    }
  }
}

TEST(Texts, PredictionsAreNamesOfClasses) {
  const Said runs = compared().peftlab({"query", "SELECT run_uuid FROM v_runs WHERE label = 'full'"});
  const std::string uuid = *parse_json(runs.out, "query").get_if<List>()->at(0).find("run_uuid")->get_if<std::string>();
  EXPECT_EQ(compared().peftlab({"adapter", "export", uuid, "--to", "exported_full"}).exit_code, 0);
  const Said said = compared().peftlab({"predict", "--model", "exported_full", "--data", "test_text.csv"});
  ASSERT_EQ(said.exit_code, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("\"prediction\": \"barks\""));
  EXPECT_THAT(said.out, HasSubstr("\"prediction\": \"purrs\""));
}

TEST(Texts, PredictingNeedsNoLabels) {
  compared().write("bare.csv", "text\ndog sat\n");
  const Said said = compared().peftlab({"predict", "--model", "exported_full", "--data", "bare.csv"});
  EXPECT_EQ(said.exit_code, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("{\"text\": \"dog sat\", \"prediction\": \"barks\"}"));
}

TEST(Texts, ALabelThatIsNoneNamesItsLine) {
  compared().write("wrong.csv", "text,label\ndog,barks\ncat,pours\n");
  const Said said = compared().peftlab({"eval", "--model", "exported_full", "--data", "wrong.csv"});
  EXPECT_EQ(said.exit_code, 3);
  EXPECT_THAT(said.err, HasSubstr("wrong.csv:3"));
  EXPECT_THAT(said.err, HasSubstr("Did you mean \"purrs\"?"));
}

TEST(Texts, ACausalModelAnswersFoldersOfTransformersAsTheyAre) {
  compared().write("pairs.jsonl",
                   "{\"prompt\": \"ab\", \"completion\": \"cd\"}\n{\"prompt\": \"a\", \"completion\": \"b\"}\n");
  for (const char* folder : {"gpt2", "llama", "mistral", "qwen2"}) {
    SCOPED_TRACE(folder);
    const std::string model = oracle(std::string("causal_models/") + folder);
    const Said scored =
        compared().peftlab({"eval", "--model", model, "--data", "pairs.jsonl", "--metric", "perplexity"});
    ASSERT_EQ(scored.exit_code, 0) << scored.err;
    const Value scores = parse_json(scored.out, "eval");
    const auto value = [&](size_t i) { return *scores.get_if<List>()->at(i).find("value")->get_if<double>(); };
    EXPECT_DOUBLE_EQ(value(1), std::exp(value(0)));
    const Said greedy = compared().peftlab({"predict", "--model", model, "--prompt", "ab", "--max-new-tokens", "5"});
    const Said beams = compared().peftlab(
        {"predict", "--model", model, "--prompt", "ab", "--max-new-tokens", "5", "--num-beams", "3"});
    EXPECT_EQ(greedy.exit_code, 0) << greedy.err;
    EXPECT_EQ(beams.exit_code, 0) << beams.err;
    EXPECT_THAT(beams.out, HasSubstr("\"prediction\": "));
  }
}

TEST(Texts, ClassesAreAskedForInWordsWithExamplesOrWithout) {
  struct Asked {
    const char *model, *prompt, *words, *shots;
  };
  for (const Asked& asked : {Asked{"causal_models/gpt2", "{text} is", R"({"barks": " a", "purrs": " the"})", "0"},
                             Asked{"causal_models/llama", "{text} is", R"({"barks": " a", "purrs": " the"})", "1"},
                             Asked{"bert/bert_masked", "{text} [MASK]", R"({"barks": "dog", "purrs": "cat"})", "0"}}) {
    SCOPED_TRACE(asked.model);
    const Said said = compared().peftlab({"eval", "--model", oracle(asked.model), "--data", "test_text.csv", "--train",
                                          "train_text.csv", "--data-set", std::string("template=") + asked.prompt,
                                          "--data-set", std::string("verbalizer=") + asked.words, "--data-set",
                                          std::string("shots=") + asked.shots});
    ASSERT_EQ(said.exit_code, 0) << said.err;
    const Value scores = parse_json(said.out, "eval");
    ASSERT_EQ(scores.get_if<List>()->size(), 2u);
    EXPECT_EQ(*scores.get_if<List>()->at(1).find("metric"), Value("accuracy"));
    const double accuracy = *scores.get_if<List>()->at(1).find("value")->get_if<double>();
    EXPECT_TRUE(0.0 <= accuracy && accuracy <= 1.0);
  }
  const Said without = compared().peftlab({"eval", "--model", oracle("causal_models/gpt2"), "--data", "test_text.csv"});
  EXPECT_NE(without.exit_code, 0);
  EXPECT_THAT(without.err, HasSubstr("template"));
}

TEST(Texts, WhatCannotBeComputedIsRefusedByName) {
  fs::create_directories(compared().folder / "yarn");
  for (const auto& entry : fs::directory_iterator(oracle("causal_models/llama"))) {
    fs::copy_file(entry.path(), compared().folder / "yarn" / entry.path().filename(),
                  fs::copy_options::overwrite_existing);
  }
  std::string config = read_text(compared().folder / "yarn/config.json");
  config.insert(config.rfind('}'), ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2.0}");
  const auto old = config.find("\"rope_scaling\": null,");
  if (old != std::string::npos) config.erase(old, std::string("\"rope_scaling\": null,").size());
  compared().write("yarn/config.json", config);
  const Said said = compared().peftlab({"predict", "--model", "yarn", "--prompt", "ab"});
  EXPECT_EQ(said.exit_code, 3);
  EXPECT_THAT(said.err, HasSubstr("yarn"));
  EXPECT_THAT(said.err, HasSubstr("rope_scaling"));
}

}  // namespace
}  // namespace peftlab::end_to_end
