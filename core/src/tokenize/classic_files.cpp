#include "tokenize/classic_files.h"

#include "support/files.h"
#include "tokenize/entry.h"
#include "tokenize/utf8.h"
#include "tokenize/vocabulary.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

namespace peftlab::tokenize {
namespace {

namespace fs = std::filesystem;

/// The lines of a file in UTF-8, each without its \n.
std::vector<std::string> read_lines(const fs::path& file) {
  const std::string text = read_text(file);
  if (!is_valid_utf8(text)) throw FormatError(fmt::format("{}: is no UTF-8", file.string()));
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const size_t last = end > begin && text[end - 1] == '\r' ? end - 1 : end;
    lines.push_back(text.substr(begin, last - begin));
    begin = end + 1;
  }
  return lines;
}

/// tokenizer_config.json and special_tokens_map.json of a folder.
class Settings {
 public:
  explicit Settings(const fs::path& folder)
      : files_{folder / "tokenizer_config.json", folder / "special_tokens_map.json"},
        values_{read_settings(files_[0]), read_settings(files_[1])},
        main_(values_[0], files_[0].string()) {}

  const Entry& main() const { return main_; }

  /// A special token's text: a string, or an added token with "content".
  std::string token(const std::string& key, const std::string& otherwise) const {
    for (int i : {0, 1}) {
      const auto given = Entry(values_[i], files_[i].string()).find(key);
      if (given) return given->value().get_if<Table>() ? given->at("content").text() : given->text();
    }
    return otherwise;
  }

 private:
  fs::path files_[2];
  Value values_[2];
  Entry main_;
};

int64_t id_of(const Table& vocabulary, const std::string& piece, const std::string& file) {
  const auto found = vocabulary.find(piece);
  const int64_t* id = found == vocabulary.end() ? nullptr : found->second.get_if<int64_t>();
  if (!id) throw FormatError(fmt::format("{}: lacks the special token \"{}\"", file, piece));
  return *id;
}

Value added_token(const std::string& content, int64_t id, bool takes_space_before) {
  return Table{{"id", id},        {"content", content},  {"single_word", false}, {"lstrip", takes_space_before},
               {"rstrip", false}, {"normalized", false}, {"special", true}};
}

/// BERT's or RoBERTa's [CLS] ... [SEP].
Value frame(const char* type, const std::string& first, int64_t first_id, const std::string& last, int64_t last_id) {
  return Table{{"type", type}, {"cls", List{first, first_id}}, {"sep", List{last, last_id}}};
}

bool is_one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* other) { return name == other; });
}

/// Whether vocab.json is RoBERTa's rather than GPT-2's. Throws: FormatError for another class.
bool is_roberta(const fs::path& folder, const Settings& settings, const Table& vocabulary) {
  std::string name = settings.main().text("tokenizer_class", "");
  if (name.ends_with("Fast")) name.resize(name.size() - 4);
  if (!name.empty()) {
    if (is_one_of(name, {"RobertaTokenizer", "BartTokenizer", "LongformerTokenizer"})) return true;
    if (name == "GPT2Tokenizer") return false;
    throw FormatError(
        fmt::format("{}: tokenizer_class \"{}\" is not known for vocab.json and merges.txt; known are "
                    "GPT2Tokenizer, RobertaTokenizer, BartTokenizer and LongformerTokenizer, and every "
                    "class whose folder has a tokenizer.json",
                    (folder / "tokenizer_config.json").string(), name));
  }
  const Value config = read_settings(folder / "config.json");
  const std::string type = Entry(config, (folder / "config.json").string()).text("model_type", "");
  if (!type.empty()) {
    if (is_one_of(type, {"roberta", "bart", "longformer"})) return true;
    if (type == "gpt2") return false;
    throw FormatError(
        fmt::format("{}: model_type \"{}\" does not tell how vocab.json and merges.txt are meant; add a "
                    "tokenizer.json, or tokenizer_class to tokenizer_config.json",
                    (folder / "config.json").string(), type));
  }
  return vocabulary.contains("<s>") && vocabulary.contains("</s>");
}

List read_merges(const fs::path& file) {
  List merges;
  for (const std::string& line : read_lines(file)) {
    if (!line.starts_with("#version") && !line.empty()) merges.push_back(line);
  }
  return merges;
}

}  // namespace

Value read_settings(const fs::path& file) {
  std::error_code error;
  if (!fs::exists(file, error)) return Table{};
  return parse_json(read_text(file), file.string());
}

Value read_vocab_txt(const fs::path& folder) {
  const fs::path file = folder / "vocab.txt";
  const Settings settings(folder);
  Table vocabulary;
  const std::vector<std::string> lines = read_lines(file);
  for (size_t i = 0; i < lines.size(); ++i) vocabulary[lines[i]] = static_cast<int64_t>(i);

  const std::string unknown = settings.token("unk_token", "[UNK]"), first = settings.token("cls_token", "[CLS]"),
                    last = settings.token("sep_token", "[SEP]");
  List added;
  for (const std::string& token :
       {settings.token("pad_token", "[PAD]"), unknown, first, last, settings.token("mask_token", "[MASK]")}) {
    // Only what the frame and unknown words need must be there; a folder may do without padding and masks.
    const bool needed = token == unknown || token == first || token == last;
    if (needed || vocabulary.contains(token)) {
      added.push_back(added_token(token, id_of(vocabulary, token, file.string()), false));
    }
  }
  const bool lower = settings.main().boolean("do_lower_case", true);
  const Value frame_value = frame("BertProcessing", first, id_of(vocabulary, first, file.string()), last,
                                  id_of(vocabulary, last, file.string()));
  return Table{{"added_tokens", added},
               {"normalizer", Table{{"type", "BertNormalizer"},
                                    {"clean_text", true},
                                    {"handle_chinese_chars", settings.main().boolean("tokenize_chinese_chars", true)},
                                    {"strip_accents", settings.main().boolean("strip_accents", lower)},
                                    {"lowercase", lower}}},
               {"pre_tokenizer", Table{{"type", "BertPreTokenizer"}}},
               {"post_processor", frame_value},
               {"decoder", Table{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
               {"model", Table{{"type", "WordPiece"},
                               {"unk_token", unknown},
                               {"continuing_subword_prefix", "##"},
                               {"max_input_chars_per_word", 100},
                               {"vocab", vocabulary}}}};
}

Value read_vocab_and_merges(const fs::path& folder) {
  const fs::path file = folder / "vocab.json";
  const Settings settings(folder);
  const Value content = parse_json(read_text(file), file.string());
  const Table& vocabulary = Entry(content, file.string()).table();
  const bool roberta = is_roberta(folder, settings, vocabulary);

  List added;
  Value post_processor = Table{{"type", "ByteLevel"}};
  if (roberta) {
    const std::string first = settings.token("cls_token", "<s>"), last = settings.token("sep_token", "</s>"),
                      mask = settings.token("mask_token", "<mask>");
    post_processor = frame("RobertaProcessing", first, id_of(vocabulary, first, file.string()), last,
                           id_of(vocabulary, last, file.string()));
    for (const std::string& token :
         {settings.token("bos_token", "<s>"), settings.token("eos_token", "</s>"), first, last,
          settings.token("unk_token", "<unk>"), settings.token("pad_token", "<pad>"), mask}) {
      if (vocabulary.contains(token)) {
        added.push_back(added_token(token, id_of(vocabulary, token, file.string()), token == mask));
      }
    }
  } else {
    for (const char* key : {"bos_token", "eos_token", "unk_token", "pad_token"}) {
      const std::string token = settings.token(key, key == std::string("pad_token") ? "" : "<|endoftext|>");
      if (vocabulary.contains(token))
        added.push_back(added_token(token, id_of(vocabulary, token, file.string()), false));
    }
    if (settings.main().boolean("add_bos_token", false)) {
      const std::string first = settings.token("bos_token", "<|endoftext|>");
      post_processor = Table{
          {"type", "TemplateProcessing"},
          {"single", List{Table{{"SpecialToken", Table{{"id", first}}}}, Table{{"Sequence", Table{{"id", "A"}}}}}},
          {"special_tokens", Table{{first, Table{{"ids", List{id_of(vocabulary, first, file.string())}}}}}}};
    }
  }
  return Table{
      {"added_tokens", added},
      {"pre_tokenizer",
       Table{{"type", "ByteLevel"}, {"add_prefix_space", settings.main().boolean("add_prefix_space", false)}}},
      {"post_processor", post_processor},
      {"decoder", Table{{"type", "ByteLevel"}}},
      {"model", Table{{"type", "BPE"}, {"vocab", vocabulary}, {"merges", read_merges(folder / "merges.txt")}}}};
}

}  // namespace peftlab::tokenize
