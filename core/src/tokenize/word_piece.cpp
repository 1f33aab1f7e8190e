#include "tokenize/models.h"
#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <limits>

namespace peftlab::tokenize {
namespace {

[[noreturn]] void refuse_unknown(const std::string& where, const std::string& unknown) {
  throw FormatError(fmt::format(
      "{}: the text has a word of no pieces, and the unk_token \"{}\" is not in the vocabulary", where, unknown));
}

class WordPiece final : public TokenModel {
 public:
  explicit WordPiece(const Entry& entry)
      : where_(entry.where()),
        unknown_(entry.at("unk_token").text()),
        prefix_(entry.at("continuing_subword_prefix").text()),
        longest_(entry.at("max_input_chars_per_word").integer(0, std::numeric_limits<int32_t>::max())) {
    vocabulary_ = Vocabulary(entry.at("vocab"));
    unknown_id_ = vocabulary_.find(unknown_);
  }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    const size_t before = ids.size();
    if (static_cast<int64_t>(count_code_points(piece)) <= longest_ && spell(piece, ids)) return;
    ids.resize(before);
    if (unknown_id_ < 0) refuse_unknown(where_, unknown_);
    ids.push_back(unknown_id_);
  }

 private:
  /// Appends the longest pieces from left to right; false where none fits.
  bool spell(std::string_view piece, std::vector<int64_t>& ids) const {
    std::string candidate;
    for (size_t begin = 0; begin < piece.size();) {
      candidate = begin == 0 ? "" : prefix_;
      candidate += piece.substr(begin);
      size_t end = piece.size();
      int64_t id = vocabulary_.find(candidate);
      while (id < 0) {
        const size_t previous = end;
        previous_code_point(piece, end);
        if (end <= begin) return false;
        candidate.resize(candidate.size() - (previous - end));
        id = vocabulary_.find(candidate);
      }
      ids.push_back(id);
      begin = end;
    }
    return true;
  }

  std::string where_, unknown_, prefix_;
  int64_t longest_;
  int64_t unknown_id_ = -1;
};

class WordLevel final : public TokenModel {
 public:
  explicit WordLevel(const Entry& entry) : where_(entry.where()), unknown_(entry.at("unk_token").text()) {
    vocabulary_ = Vocabulary(entry.at("vocab"));
    unknown_id_ = vocabulary_.find(unknown_);
  }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    const int64_t id = vocabulary_.find(piece);
    if (id < 0 && unknown_id_ < 0) refuse_unknown(where_, unknown_);
    ids.push_back(id < 0 ? unknown_id_ : id);
  }

 private:
  std::string where_, unknown_;
  int64_t unknown_id_ = -1;
};

}  // namespace

std::unique_ptr<TokenModel> read_word_piece(const Entry& entry) { return std::make_unique<WordPiece>(entry); }

std::unique_ptr<TokenModel> read_word_level(const Entry& entry) { return std::make_unique<WordLevel>(entry); }

std::unique_ptr<TokenModel> read_token_model(const Entry& entry) {
  const auto type = entry.find("type");
  // Files from before 2020 do not say their kind: a list is Unigram's, merges are BPE's, a prefix WordPiece's.
  const std::string name = type                                       ? type->text()
                           : entry.at("vocab").value().get_if<List>() ? "Unigram"
                           : entry.find("merges")                     ? "BPE"
                           : entry.find("continuing_subword_prefix")  ? "WordPiece"
                                                                      : "WordLevel";
  if (name == "BPE") return read_bpe(entry);
  if (name == "WordPiece") return read_word_piece(entry);
  if (name == "Unigram") return read_unigram(entry);
  if (name == "WordLevel") return read_word_level(entry);
  entry.refuse(fmt::format(
      "is of the kind \"{}\", which peftlab does not know; it knows BPE, WordPiece, Unigram and WordLevel", name));
}

}  // namespace peftlab::tokenize
