/// `peftlab plugins new`: a folder that builds, passes its tests and runs a comparison at once.

#include "command_line.h"
#include "engine/commands.h"
#include "new_folder.h"

#include <peftlab/error.h>
#include <peftlab/params.h>
#include <peftlab/value.h>

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <fstream>
#include <map>
#include <set>

namespace peftlab::cli {
namespace {

namespace fs = std::filesystem;

/// The files of core/templates by their names.
const std::map<std::string, std::string> kTemplates = {
#include "templates.inc"
};

using Replacements = std::map<std::string, std::string>;  // what stands between %...% and what takes its place

std::string filled(std::string text, const Replacements& words) {
  for (const auto& [name, value] : words) {
    const std::string mark = "%" + name + "%";
    for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos; at += value.size()) {
      text.replace(at, mark.size(), value);
    }
  }
  return text;
}

/// "mean_length" as "MeanLength".
std::string class_name(const std::string& name) {
  std::string result;
  bool up = true;
  for (const char c : name) {
    if (c == '_') {
      up = true;
      continue;
    }
    result += up ? static_cast<char>(std::toupper(static_cast<unsigned char>(c))) : c;
    up = false;
  }
  return result;
}

void check_name(const std::string& name) {
  const bool letters = std::all_of(name.begin(), name.end(),
                                   [](unsigned char c) { return std::islower(c) || std::isdigit(c) || c == '_'; });
  if (!letters || name.empty() || !std::islower(static_cast<unsigned char>(name[0])) || name.size() > 40 ||
      name.back() == '_') {
    throw ConfigError(fmt::format(
        "\"{}\" cannot be a plugin's name here: it is a file, a target and a class, so it is made of small letters, "
        "digits and _, begins with a letter and does not end with _",
        name));
  }
}

/// A tokenizer of single characters.
std::string tokenizer_json() {
  Table vocabulary;
  vocabulary["<end>"] = 0;
  int id = 0;
  for (const char c : std::string("0123456789<>=")) vocabulary[std::string(1, c)] = ++id;
  vocabulary["<unknown>"] = ++id;
  const Table end{{"id", 0},         {"content", "<end>"},  {"single_word", false}, {"lstrip", false},
                  {"rstrip", false}, {"normalized", false}, {"special", true}};
  return to_json(Table{{"version", "1.0"},
                       {"truncation", Value()},
                       {"padding", Value()},
                       {"added_tokens", List{end}},
                       {"normalizer", Value()},
                       {"pre_tokenizer", Value()},
                       {"post_processor", Value()},
                       {"decoder", Table{{"type", "Fuse"}}},
                       {"model", Table{{"type", "BPE"},
                                       {"dropout", Value()},
                                       {"unk_token", "<unknown>"},
                                       {"continuing_subword_prefix", Value()},
                                       {"end_of_word_suffix", Value()},
                                       {"fuse_unk", false},
                                       {"byte_fallback", false},
                                       {"vocab", vocabulary},
                                       {"merges", List{}}}}}) +
         "\n";
}

std::string config_json(const std::string& kind, const std::string& name) {
  if (kind == "model") {
    return to_json(Table{{"model_type", name},
                         {"vocab_size", 15},
                         {"hidden_size", 64},
                         {"num_layers", 2},
                         {"num_heads", 4},
                         {"max_length", 32},
                         {"eos_token_id", 0}}) +
           "\n";
  }
  return to_json(Table{{"model_type", "gpt2"},
                       {"architectures", List{"GPT2LMHeadModel"}},
                       {"vocab_size", 15},
                       {"n_positions", 32},
                       {"n_embd", 64},
                       {"n_layer", 2},
                       {"n_head", 4},
                       {"activation_function", "gelu_new"},
                       {"attn_pdrop", 0.0},
                       {"embd_pdrop", 0.0},
                       {"resid_pdrop", 0.0},
                       {"bos_token_id", 0},
                       {"eos_token_id", 0}}) +
         "\n";
}

/// One line of data: as JSON, or as the data set of the template reads it.
std::string line_of(bool tabs, const std::string& prompt, const std::string& target) {
  if (tabs) return prompt + "\t" + target + "\n";
  return to_json(Table{{"prompt", prompt}, {"completion", target}}) + "\n";
}

/// The larger of two digits, and the smaller, apart for training and for tests.
std::map<std::string, std::string> larger_and_smaller(bool tabs) {
  std::map<std::string, std::string> files;
  const std::string extension = tabs ? ".tsv" : ".jsonl";
  for (int a = 0; a < 10; ++a) {
    for (int b = 0; b < 10; ++b) {
      files["larger" + extension] += line_of(tabs, fmt::format(">{}{}=", a, b), std::to_string(std::max(a, b)));
      const bool test = (3 * a + 7 * b) % 5 == 0;
      files[(test ? "smaller_test" : "smaller_train") + extension] +=
          line_of(tabs, fmt::format("<{}{}=", a, b), std::to_string(std::min(a, b)));
    }
  }
  return files;
}

Replacements words_for(const std::string& kind, const std::string& name) {
  std::string upper = name;
  std::transform(upper.begin(), upper.end(), upper.begin(), [](unsigned char c) { return std::toupper(c); });
  const bool is_dataset = kind == "dataset";
  const std::string head = "| option | type | default | meaning |\n| --- | --- | --- | --- |\n";
  const std::map<std::string, std::string> options = {
      {"method", head + "| `targets` | list of strings |  | ends of the names of the linear maps to adapt; those of "
                        "LoRA if left out |\n\n"},
      {"metric", head + "| `tolerance` | integer | `0` | by how many words an answer may be longer or shorter |\n\n"},
      {"dataset", head + "| `separator` | string | `\"\\t\"` | what stands between prompt and target |\n\n"},
      {"model", ""}};
  const std::map<std::string, std::string> questions = {
      {"method", "Is `" + name + "` one that does it well?"},
      {"metric", "And what does `" + name + "` say of their answers?"},
      {"dataset", "The data are read by `" + name + "`."},
      {"model", "The model is a `" + name + "`."}};
  return {{"NAME", name},
          {"CLASS", class_name(name)},
          {"UPPER", upper},
          {"KIND", kind == "dataset" ? "data set" : kind},
          {"KIND_PLURAL", kind == "dataset" ? "data sets" : kind + "s"},
          {"OPTIONS", options.at(kind)},
          {"LIBRARIES", is_dataset ? " LIBRARIES crypto" : ""},
          {"QUESTION", questions.at(kind)},
          {"EXPERIMENT", "`experiment/` compares full fine-tuning and LoRA" +
                             std::string(kind == "method" ? " with it" : "") +
                             " on a model that is made there in some seconds: it learns to\nname the larger of two "
                             "digits, and is adapted to name the smaller."},
          {"DATA_PLUGIN", is_dataset ? name : "text"},
          {"EXTENSION", is_dataset ? "tsv" : "jsonl"},
          {"METHOD", kind == "method" ? fmt::format("\n[[method]]\nlabel = \"{0}\"\nplugin = \"{0}\"\n"
                                                    "train.learning_rate = 1e-2\n",
                                                    name)
                                      : ""},
          {"METRIC", kind == "metric" ? fmt::format("\n[[metric]]\nplugin = \"{}\"\n", name) : ""}};
}

void write(const fs::path& file, const std::string& text) {
  fs::create_directories(file.parent_path());
  std::ofstream stream(file, std::ios::binary);
  stream << text;
  stream.flush();
  if (!stream) throw Error("cannot write " + file.string());
}

}  // namespace

int new_plugin(const Words& words) {
  std::string name, kind = "method";
  CommandLine line(
      "plugins new NAME",
      "Writes the folder NAME with a plugin to start from: its source with its manual on top, a test, a README,\n"
      "a CMakeLists.txt that finds the installed peftlab, and an experiment that compares it at once.",
      "peftlab plugins new outer\npeftlab plugins new mean_length --kind metric");
  line.operand("NAME", &name).option("kind", &kind, "method|model|dataset|metric", "what the plugin is");
  if (!line.parse(words)) return 0;
  const std::vector<std::string> kinds = {"method", "model", "dataset", "metric"};
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    throw ConfigError(fmt::format("--kind {}: {}", kind, suggestion(kind, kinds)));
  }
  check_name(name);

  const Replacements texts = words_for(kind, name);
  const NewFolder folder(name);
  const auto fill = [&](const fs::path& file, const std::string& from) {
    write(folder.partial() / file, filled(kTemplates.at(from), texts));
  };
  fill("CMakeLists.txt", "CMakeLists.txt");
  fill("README.md", "README.md");
  fill(name + ".cpp", kind + ".cpp");
  fill(name + "_test.cpp", kind + "_test.cpp");
  fill("experiment/compare.toml", "compare.toml");
  fill("experiment/pretrain.toml", "pretrain.toml");
  write(folder.partial() / "experiment/model/config.json", config_json(kind, name));
  write(folder.partial() / "experiment/model/tokenizer.json", tokenizer_json());
  for (const auto& [file, text] : larger_and_smaller(kind == "dataset"))
    write(folder.partial() / "experiment" / file, text);
  folder.give_name();
  note(fmt::format("wrote {0}: see {0}/README.md", name));
  return 0;
}

}  // namespace peftlab::cli
