#include "tokenize/tokenize.h"

#include "tokenize/classic_files.h"
#include "tokenize/json_tokenizer.h"
#include "tokenize/sentencepiece.h"

#include <peftlab/error.h>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string>
#include <vector>

namespace peftlab::tokenize {
namespace {

namespace fs = std::filesystem;

constexpr const char* kReadable =
    "what can be read is tokenizer.json, vocab.txt, vocab.json with merges.txt, or a sentencepiece model: "
    "ice_text.model "
    "(ChatGLM), tokenizer.model, spiece.model or another *.model";

/// Names of the files in `folder`, sorted.
std::vector<std::string> file_names(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (!entry->is_directory(ignored)) names.push_back(entry->path().filename().string());
  }
  if (error) throw FormatError(fmt::format("{}: cannot be read as a folder: {}", folder.string(), error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer(const fs::path& model_folder) {
  const std::vector<std::string> names = file_names(model_folder);
  const auto there = [&](const std::string& name) { return std::binary_search(names.begin(), names.end(), name); };

  if (there("ice_text.model")) {
    return load_chatglm(model_folder / "ice_text.model", model_folder / "tokenizer_config.json");
  }
  if (there("tokenizer.json")) return load_tokenizer_json(model_folder / "tokenizer.json");
  for (const char* name : {"tokenizer.model", "spiece.model"}) {
    if (there(name)) return load_sentencepiece(model_folder / name);
  }

  std::vector<std::string> models, others;
  for (const std::string& name : names) {
    if (name.ends_with(".model")) models.push_back(name);
    if (name.starts_with("tokenizer.") || name.starts_with("vocab.") || name == "merges.txt") others.push_back(name);
  }
  // XLM-R's family numbers the pieces of this file anew; its own numbers would be wrong without a word.
  std::erase(models, "sentencepiece.bpe.model");
  if (models.size() == 1) return load_sentencepiece(model_folder / models.front());
  if (models.size() > 1) {
    throw FormatError(
        fmt::format("{}: holds several sentencepiece models ({}): which is the tokenizer's cannot be told",
                    model_folder.string(), fmt::join(models, ", ")));
  }
  if (there("vocab.txt"))
    return make_json_tokenizer(read_vocab_txt(model_folder), (model_folder / "vocab.txt").string());
  if (there("vocab.json") && there("merges.txt")) {
    return make_json_tokenizer(read_vocab_and_merges(model_folder), (model_folder / "vocab.json").string());
  }
  if (there("sentencepiece.bpe.model")) others.push_back("sentencepiece.bpe.model");
  if (others.empty()) {
    throw FormatError(fmt::format("{}: holds no tokenizer; {}", model_folder.string(), kReadable));
  }
  throw FormatError(fmt::format("{}: the tokenizer files found ({}) are of a kind that cannot be read; {}",
                                model_folder.string(), fmt::join(others, ", "), kReadable));
}

}  // namespace peftlab::tokenize
