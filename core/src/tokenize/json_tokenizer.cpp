#include "tokenize/json_tokenizer.h"

#include "support/files.h"
#include "tokenize/added_tokens.h"
#include "tokenize/decode.h"
#include "tokenize/post_process.h"
#include "tokenize/pre_tokenize.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::tokenize {
namespace {

/// What `read` makes of the entry `key`, or nothing where there is none.
template <typename Read>
auto read_if_there(const Entry& root, const char* key, Read read) -> decltype(read(root)) {
  const auto entry = root.find(key);
  if (!entry) return {};
  return read(*entry);
}

class JsonTokenizer final : public Tokenizer {
 public:
  explicit JsonTokenizer(const Entry& root)
      : normalizer_(read_if_there(root, "normalizer", read_normalizer)),
        pre_tokenizer_(read_if_there(root, "pre_tokenizer", read_pre_tokenizer)),
        model_(read_token_model(root.at("model"))),
        frame_(read_if_there(root, "post_processor", read_frame)),
        decoder_(read_if_there(root, "decoder", read_decoder)),
        added_(read_if_there(root, "added_tokens", [](const Entry& list) { return list.list(); }), *model_,
               normalizer_.get()),
        size_(std::max(model_->vocabulary().end(), added_.end())) {
    for (const auto* side : {&frame_.before, &frame_.behind}) {
      for (const int64_t id : *side) {
        if (id >= size_) {
          root.refuse(
              fmt::format("has a post_processor with the id {}, which is not below the number of ids, {}", id, size_));
        }
      }
    }
  }

  std::vector<int64_t> encode(const std::string& text) const override {
    if (!is_valid_utf8(text)) return encode(repaired_utf8(text));
    std::vector<int64_t> ids;
    std::vector<Piece> pieces;
    for (Claim& claim : added_.cut(text, normalizer_.get())) {
      if (claim.id >= 0) {
        ids.push_back(claim.id);
        continue;
      }
      pieces.clear();
      pieces.push_back(std::move(claim.piece));
      if (pre_tokenizer_) pre_tokenizer_->apply(pieces);
      for (const Piece& piece : pieces) model_->encode(piece.text, ids);
    }
    return ids;
  }

  std::vector<int64_t> encode_with_special_tokens(const std::string& text, int64_t max_length) const override {
    return framed(frame_.before, encode(text), frame_.behind, max_length);
  }

  std::string decode(const std::vector<int64_t>& ids) const override {
    std::vector<std::string> pieces;
    for (const int64_t id : ids) {
      const std::string* piece = added_.content(id);
      if (!piece) piece = model_->vocabulary().piece(id);
      if (piece && !added_.is_special(*piece)) pieces.push_back(*piece);
    }
    if (decoder_) decoder_->apply(pieces);
    std::string text;
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (!decoder_ && i > 0) text += ' ';
      text += pieces[i];
    }
    return text;
  }

  std::optional<int64_t> id_of(const std::string& piece) const override {
    int64_t id = added_.find(piece);
    if (id < 0) id = model_->vocabulary().find(piece);
    return id < 0 ? std::nullopt : std::optional(id);
  }

  int64_t size() const override { return size_; }

 private:
  std::unique_ptr<Normalizer> normalizer_;
  std::unique_ptr<PreTokenizer> pre_tokenizer_;
  std::unique_ptr<TokenModel> model_;
  Frame frame_;
  std::unique_ptr<Decoder> decoder_;
  AddedTokens added_;
  int64_t size_;
};

}  // namespace

std::unique_ptr<Tokenizer> load_tokenizer_json(const std::filesystem::path& file) {
  return make_json_tokenizer(parse_json(read_text(file), file.string()), file.string());
}

std::unique_ptr<Tokenizer> make_json_tokenizer(const Value& content, const std::string& origin) {
  const Entry root(content, origin);
  if (const auto version = root.find("version"); version && version->text() != "1.0") {
    version->refuse(fmt::format("must be \"1.0\", found \"{}\"", version->text()));
  }
  return std::make_unique<JsonTokenizer>(root);
}

std::vector<int64_t> framed(const std::vector<int64_t>& before, const std::vector<int64_t>& text,
                            const std::vector<int64_t>& behind, int64_t max_length) {
  const auto around = static_cast<int64_t>(before.size() + behind.size());
  if (max_length != 0 && max_length < around) {
    throw ConfigError(fmt::format("a text cannot be cut to {} ids: the tokenizer puts {} special tokens around it",
                                  max_length, around));
  }
  const auto kept = max_length == 0 ? static_cast<int64_t>(text.size())
                                    : std::min(static_cast<int64_t>(text.size()), max_length - around);
  std::vector<int64_t> ids = before;
  ids.insert(ids.end(), text.begin(), text.begin() + kept);
  ids.insert(ids.end(), behind.begin(), behind.end());
  return ids;
}

}  // namespace peftlab::tokenize
