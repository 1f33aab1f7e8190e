#include "tokenize/sentencepiece.h"

#include "support/files.h"
#include "tokenize/classic_files.h"
#include "tokenize/entry.h"
#include "tokenize/json_tokenizer.h"

#include <peftlab/error.h>
#include <peftlab/value.h>

#include <fmt/format.h>
#include <sentencepiece_processor.h>

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab::tokenize {
namespace {

namespace fs = std::filesystem;
using sentencepiece::SentencePieceProcessor;

/// A sentencepiece model, and the ids that decode() leaves out.
class SentencePiece : public Tokenizer {
 public:
  explicit SentencePiece(const fs::path& file) : file_(file.string()) {
    const auto status = processor_.LoadFromSerializedProto(read_text(file));
    if (!status.ok()) {
      throw FormatError(fmt::format("{}: is not a sentencepiece model: {}", file_, status.ToString()));
    }
    silent_.resize(processor_.GetPieceSize());
    for (int id = 0; id < processor_.GetPieceSize(); ++id) {
      silent_[id] = processor_.IsControl(id) || processor_.IsUnknown(id);
    }
  }

  std::vector<int64_t> encode(const std::string& text) const override {
    std::vector<int> ids;
    const auto status = processor_.Encode(text, &ids);
    if (!status.ok()) throw FormatError(fmt::format("{}: cannot encode a text: {}", file_, status.ToString()));
    return {ids.begin(), ids.end()};
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::vector<int> kept;
    for (const int64_t id : ids) {
      if (0 <= id && id < processor_.GetPieceSize() && !silent_[id]) kept.push_back(static_cast<int>(id));
    }
    std::string text;
    const auto status = processor_.Decode(kept, &text);
    if (!status.ok()) throw FormatError(fmt::format("{}: cannot decode ids: {}", file_, status.ToString()));
    return text;
  }

  std::optional<int64_t> id_of(const std::string& piece) const override {
    // PieceToId answers with the unknown piece where there is none.
    const int id = processor_.PieceToId(piece);
    if (processor_.IdToPiece(id) != piece) return std::nullopt;
    return id;
  }

  int64_t size() const override { return processor_.GetPieceSize(); }

 protected:
  /// Leaves `piece` out of decoded text, if it is there.
  void silence(const std::string& piece) {
    if (const auto id = SentencePiece::id_of(piece)) silent_[*id] = true;
  }

  std::string file_;
  SentencePieceProcessor processor_;

 private:
  std::vector<bool> silent_;
};

/// A sentencepiece model with what its folder says about bos and eos.
class Framed final : public SentencePiece {
 public:
  explicit Framed(const fs::path& file) : SentencePiece(file) {
    const fs::path config = file.parent_path() / "tokenizer_config.json";
    const Value content = read_settings(config);
    const Entry settings(content, config.string());
    class_ = settings.text("tokenizer_class", file.filename() == "spiece.model" ? "T5Tokenizer" : "LlamaTokenizer");
    if (class_.ends_with("Fast")) class_.resize(class_.size() - 4);
    const bool is_llama = class_ == "LlamaTokenizer", is_t5 = class_ == "T5Tokenizer";
    is_known_ = is_llama || is_t5 || settings.find("add_bos_token") || settings.find("add_eos_token");
    if (settings.boolean("add_bos_token", is_llama)) add(before_, processor_.bos_id());
    if (settings.boolean("add_eos_token", is_t5)) add(behind_, processor_.eos_id());
  }

  std::vector<int64_t> encode_with_special_tokens(const std::string& text, int64_t max_length) const override {
    if (!is_known_) {
      throw UnsupportedError(
          fmt::format("{}: which special tokens \"{}\" puts around a text is not known; known are "
                      "LlamaTokenizer and T5Tokenizer, and add_bos_token and add_eos_token in "
                      "tokenizer_config.json",
                      file_, class_));
    }
    return framed(before_, encode(text), behind_, max_length);
  }

 private:
  /// A model without such a piece puts none there.
  static void add(std::vector<int64_t>& side, int id) {
    if (id >= 0) side.push_back(id);
  }

  std::string class_;
  bool is_known_;
  std::vector<int64_t> before_, behind_;
};

constexpr size_t kMaxBlanks = 80;

std::string blanks_piece(size_t count) { return fmt::format("<|blank_{}|>", count); }

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

class ChatGlm final : public SentencePiece {
 public:
  ChatGlm(const fs::path& file, int64_t image_tokens) : SentencePiece(file), image_tokens_(image_tokens) {
    for (const char* piece : {"<n>", "<|tab|>", "<|blank_2|>", "<|blank_80|>", "<pad>", "[gMASK]", "<sop>", "<eop>"}) {
      if (!SentencePiece::id_of(piece)) {
        throw FormatError(fmt::format("{}: has no piece \"{}\", which ChatGLM's tokenizer needs", file_, piece));
      }
    }
    for (const char* piece : {"[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>"}) {
      silence(piece);
    }
  }

  std::vector<int64_t> encode(const std::string& text) const override {
    std::vector<int64_t> ids = SentencePiece::encode(prepare(text));
    for (int64_t& id : ids) id += image_tokens_;
    return ids;
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::vector<int64_t> own;
    // Only ids of text are lowered, so that no sum can leave the range of its type.
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(own), [&](int64_t id) { return id >= image_tokens_; });
    for (int64_t& id : own) id -= image_tokens_;
    std::string text = SentencePiece::decode(own);
    replace_all(text, "<n>", "\n");
    replace_all(text, "<|tab|>", "\t");
    if (text.find("<|blank_") != std::string::npos) {
      for (size_t count = 2; count <= kMaxBlanks; ++count) {
        replace_all(text, blanks_piece(count), std::string(count, ' '));
      }
    }
    return text;
  }

  std::optional<int64_t> id_of(const std::string& piece) const override {
    const auto id = SentencePiece::id_of(piece);
    if (!id) return std::nullopt;
    return *id + image_tokens_;
  }

  int64_t size() const override { return SentencePiece::size() + image_tokens_; }

 private:
  /// Line breaks, tabs and runs of spaces as the pieces that stand for them; a single space stays.
  static std::string prepare(const std::string& text) {
    std::string out;
    for (size_t i = 0; i < text.size();) {
      if (text[i] == '\n') {
        out += "<n>";
        ++i;
      } else if (text[i] == '\t') {
        out += "<|tab|>";
        ++i;
      } else if (text[i] == ' ') {
        size_t count = 1;
        while (count < kMaxBlanks && i + count < text.size() && text[i + count] == ' ') ++count;
        out += count == 1 ? std::string(" ") : blanks_piece(count);
        i += count;
      } else {
        out += text[i++];
      }
    }
    return out;
  }

  int64_t image_tokens_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_sentencepiece(const fs::path& file) { return std::make_unique<Framed>(file); }

std::unique_ptr<Tokenizer> load_chatglm(const fs::path& file, const fs::path& config) {
  std::error_code error;
  if (!fs::exists(config, error)) {
    throw FormatError(
        fmt::format("{}: is missing; beside {} it says \"num_image_tokens\" (0 since ChatGLM-6B's ids "
                    "end at 130344, 20000 before)",
                    config.string(), file.filename().string()));
  }
  const Value settings = parse_json(read_text(config), config.string());
  const Value* given = settings.find("num_image_tokens");
  const int64_t* image_tokens = given ? given->get_if<int64_t>() : nullptr;
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() / 2;
  if (!image_tokens || *image_tokens < 0 || *image_tokens > kMost) {
    throw FormatError(fmt::format("{}: \"num_image_tokens\" must be an integer from 0 to {}, found {}", config.string(),
                                  kMost, given ? to_json(*given) : "nothing"));
  }
  return std::make_unique<ChatGlm>(file, *image_tokens);
}

}  // namespace peftlab::tokenize
