#include "attach/probe.h"
#include "engine/commands.h"
#include "engine/model.h"
#include "evaluate/judge.h"
#include "evaluate/single_prompt.h"
#include "support/files.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

#include <fmt/format.h>

#include <cmath>
#include <map>

#include <stdlib.h>

namespace peftlab::cli {
namespace {

namespace fs = std::filesystem;

struct Question {
  DataOptions data;
  std::string image, prompt;
};

/// A folder that is gone with the object.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (fs::temp_directory_path() / "peftlab-predict-XXXXXX").string();
    if (!mkdtemp(name.data())) throw Error("no temporary folder can be made: " + name);
    path_ = name;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// One picture and its prompt, as a data file of one line, so that it goes the way of all pictures.
std::unique_ptr<Dataset> open_picture(const Question& question, bool has_prompt, const attach::Session& session,
                                      const registry::Registry& registry) {
  if (!session.model->facts().images) {
    throw ConfigError(fmt::format("--image: {} is a model of text alone", session.folder.string()));
  }
  const TemporaryFolder folder;
  const fs::path file = folder.path() / "picture.jsonl";
  Table line{{"image_path", fs::absolute(question.image).string()}, {"text", ""}};
  if (has_prompt) line["prompt"] = question.prompt;
  write_text(file, to_json(line) + "\n");
  const std::string plugin = question.data.plugin.empty() ? "image_text" : question.data.plugin;
  try {
    return open_dataset(plugin, {}, file, session, registry);
  } catch (const FormatError& error) {
    // The user knows no such file.
    const std::string message = error.what(), place = file.string() + ":1: ";
    throw FormatError(message.starts_with(place) ? message.substr(place.size()) : message);
  }
}

std::unique_ptr<Dataset> open_question(const Question& question, const CommandLine& line,
                                       const attach::Session& session, const registry::Registry& registry) {
  if (line.given("data")) return question.data.open(session, registry);
  if (line.given("image")) return open_picture(question, line.given("prompt"), session, registry);
  return std::make_unique<evaluate::SinglePrompt>(question.prompt);
}

void check(const CommandLine& line, const Question& question, const evaluate::GenerationOptions& generation,
           const std::string& merged, const ModelOptions& model) {
  const bool has_data = line.given("data");
  if (has_data && (line.given("image") || line.given("prompt"))) {
    throw ConfigError("--data has its own pictures and prompts: --image and --prompt cannot stand beside it");
  }
  if (!has_data && !line.given("image") && !line.given("prompt")) {
    throw ConfigError("peftlab predict needs --data FILE, --image FILE, or --prompt TEXT");
  }
  question.data.check();
  check_at_least("max-new-tokens", generation.max_new_tokens, 1);
  for (const char* option : {"temperature", "top-k", "top-p", "seed"}) {
    if (line.given(option) && !generation.sample) throw ConfigError(fmt::format("--{} needs --sample", option));
  }
  const auto is_positive = [](double value) { return value > 0.0 && std::isfinite(value); };
  if (!is_positive(generation.temperature)) throw ConfigError("--temperature must be above 0");
  if (!is_positive(generation.repetition_penalty)) throw ConfigError("--repetition-penalty must be above 0");
  if (!(generation.top_p > 0.0 && generation.top_p <= 1.0)) throw ConfigError("--top-p must be above 0 and at most 1");
  check_at_least("top-k", generation.top_k, 0);
  check_at_least("num-beams", generation.num_beams, 1);
  check_at_least("no-repeat-ngram-size", generation.no_repeat_ngram_size, 0);
  check_at_least("min-new-tokens", generation.min_new_tokens, 0);
  if (generation.min_new_tokens > generation.max_new_tokens) {
    throw ConfigError(fmt::format("--min-new-tokens is {}, but --max-new-tokens {}", generation.min_new_tokens,
                                  generation.max_new_tokens));
  }
  if (generation.num_beams > 1 && generation.sample) {
    throw ConfigError("--num-beams and --sample cannot stand beside each other: beams are not drawn");
  }
  for (const char* option : {"length-penalty", "early-stopping"}) {
    if (line.given(option) && generation.num_beams == 1)
      throw ConfigError(fmt::format("--{} needs --num-beams", option));
  }
  if (!std::isfinite(generation.length_penalty)) throw ConfigError("--length-penalty must be a number");
  if (merged != "yes" && merged != "no") throw ConfigError(fmt::format("--merge is yes or no, not \"{}\"", merged));
  if (merged == "yes" && model.adapters.empty()) throw ConfigError("--merge yes needs --adapter");
}

evaluate::EarlyStopping early_stopping(const std::string& word) {
  const std::map<std::string, evaluate::EarlyStopping> known = {{"no", evaluate::EarlyStopping::no},
                                                                {"yes", evaluate::EarlyStopping::yes},
                                                                {"never", evaluate::EarlyStopping::never}};
  const auto found = known.find(word);
  if (found == known.end()) throw ConfigError(fmt::format("--early-stopping is no, yes or never, not \"{}\"", word));
  return found->second;
}

}  // namespace

int predict_command(const Words& words) {
  ModelOptions model;
  Question question;
  std::string merged = "no", stopping = "no";
  evaluate::GenerationOptions generation;
  int64_t seed = 0;
  CommandLine line(
      "predict --model DIR (--data FILE | --image FILE | --prompt TEXT)",
      "Prints what a model answers, a JSON object with `prediction` a line, in the order of the data. The\n"
      "likeliest token is taken each time, unless --sample is given.",
      "peftlab predict --model models/base --adapter lora --image heart.png --prompt \"Describe the image:\"\n"
      "peftlab predict --model models/base --data test.csv --max-new-tokens 16");
  model.declare(line);
  model.declare_type(line);
  question.data.declare(line, "examples whose prompts (and pictures) are answered");
  line.plain_option("image", &question.image, "FILE", "one picture")
      .plain_option("prompt", &question.prompt, "TEXT", "one prompt; beside --image by default the plugin's own")
      .option("max-new-tokens", &generation.max_new_tokens, "N", "the most tokens of an answer")
      .option("merge", &merged, "yes|no", "fold the adapter into the weights first")
      .flag("sample", &generation.sample, "draw the next token instead of taking the likeliest")
      .option("temperature", &generation.temperature, "X", "divides the logits; with --sample")
      .option("top-k", &generation.top_k, "N", "draw among the N likeliest; 0: all; with --sample")
      .option("top-p", &generation.top_p, "P", "draw among the fewest that together reach P; with --sample")
      .option("repetition-penalty", &generation.repetition_penalty, "X", "above 1: tokens seen become less likely")
      .option("no-repeat-ngram-size", &generation.no_repeat_ngram_size, "N",
              "no N tokens in a row come twice; 0: any may")
      .option("min-new-tokens", &generation.min_new_tokens, "N", "the fewest tokens of an answer")
      .option("num-beams", &generation.num_beams, "N", "keep the N likeliest answers so far; 1: no beam search")
      .option("length-penalty", &generation.length_penalty, "X", "above 0 favours long answers; with --num-beams")
      .option("early-stopping", &stopping, "no|yes|never",
              "end a beam search when an open beam is hardly better, as soon as N are done, or when none can be better")
      .option("seed", &seed, "N", "of the draws; with --sample");
  if (!line.parse(words)) return 0;
  check(line, question, generation, merged, model);
  generation.early_stopping = early_stopping(stopping);
  generation.seed = static_cast<uint64_t>(seed);

  const auto registry = open_registry();
  auto session = model.open(registry);
  if (merged == "yes") attach::merge(session);
  const auto dataset = open_question(question, line, session, registry);
  evaluate::ModelJudge judge(
      session, *dataset,
      {.batch_size = question.data.batch_size, .max_length = question.data.max_length, .generation = generation});
  const auto& predictions = judge.predictions();
  for (int64_t i = 0; i < judge.size(); ++i) {
    const std::string picture =
        line.given("image") ? fmt::format("\"image_path\": {}, ", report::json_string(question.image)) : "";
    const Example example = dataset->example(i);
    const bool is_text = example.prompt.empty() && judge.classifies();
    print(fmt::format("{{{}\"{}\": {}, \"prediction\": {}}}\n", picture, is_text ? "text" : "prompt",
                      report::json_string(is_text ? example.target : example.prompt),
                      report::json_string(predictions[i])));
  }
  return 0;
}

}  // namespace peftlab::cli
