#include "tokenize/flat_table.h"
#include "tokenize/models.h"
#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace peftlab::tokenize {
namespace {

uint64_t pair_of(uint32_t left, uint32_t right) { return uint64_t{left} << 32 | right; }

/// A symbol of a word, linked to its neighbours by their places; a symbol merged into its left neighbour is gone.
struct Symbol {
  uint32_t id;
  int32_t previous, next;
  bool is_gone;
};

/// Two neighbours that can be merged: the left one's place, the merge's rank and what comes of it.
struct Candidate {
  uint32_t rank, id;
  int32_t place;

  /// The first of a heap is the lowest rank, and among equals the leftmost.
  friend bool operator<(const Candidate& a, const Candidate& b) {
    return a.rank != b.rank ? a.rank > b.rank : a.place > b.place;
  }
};

class Bpe final : public TokenModel {
 public:
  explicit Bpe(const Entry& entry)
      : where_(entry.where()),
        prefix_(entry.text("continuing_subword_prefix", "")),
        suffix_(entry.text("end_of_word_suffix", "")),
        fuses_unknown_(entry.boolean("fuse_unk", false)),
        falls_back_(entry.boolean("byte_fallback", false)),
        ignores_merges_(entry.boolean("ignore_merges", false)) {
    if (const auto dropout = entry.find("dropout"); dropout && dropout->number() != 0) {
      dropout->refuse("must be null or 0: peftlab does not drop merges at random");
    }
    vocabulary_ = Vocabulary(entry.at("vocab"));
    if (const auto unknown = entry.find("unk_token")) {
      unknown_ = unknown->text();
      unknown_id_ = vocabulary_.find(*unknown_);
    }
    read_merges(entry.at("merges"));
    for (int byte = 0; byte < 256; ++byte)
      bytes_[byte] = vocabulary_.find(byte_piece(static_cast<unsigned char>(byte)));
    for (char32_t code = 0; code < characters_.size(); ++code) {
      std::string text;
      append_code_point(text, code);
      characters_[code] = vocabulary_.find(text);
    }
  }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    if (ignores_merges_) {
      if (const int64_t id = vocabulary_.find(piece); id >= 0) return ids.push_back(id);
    }
    // The memory of the last word serves the next one.
    static thread_local std::vector<Symbol> word;
    word.clear();
    spell(piece, word);
    merge(word);
    for (const Symbol& symbol : word) {
      if (!symbol.is_gone) ids.push_back(symbol.id);
    }
  }

 private:
  void read_merges(const Entry& entry) {
    const List* list = entry.value().get_if<List>();
    if (!list) entry.list();
    merges_ = FlatTable(list->size());
    for (size_t rank = 0; rank < list->size(); ++rank) {
      const auto [left, right] = read_merge(entry, (*list)[rank], rank);
      const int64_t left_id = vocabulary_.find(left), right_id = vocabulary_.find(right);
      const std::string whole = left + (right.size() < prefix_.size() ? "" : right.substr(prefix_.size()));
      const int64_t id = vocabulary_.find(whole);
      if (left_id < 0 || right_id < 0 || id < 0) {
        const std::string& absent = left_id < 0 ? left : right_id < 0 ? right : whole;
        entry.refuse(fmt::format("has the merge \"{} {}\", but \"{}\" is not in the vocabulary", left, right, absent));
      }
      // The later of two equal merges counts, as there.
      merges_.set(pair_of(static_cast<uint32_t>(left_id), static_cast<uint32_t>(right_id)),
                  rank << 32 | static_cast<uint64_t>(id));
    }
  }

  /// "left right", or ["left", "right"] in newer files.
  static std::pair<std::string, std::string> read_merge(const Entry& entry, const Value& merge, size_t rank) {
    if (const std::string* line = merge.get_if<std::string>()) {
      const size_t space = line->find(' ');
      if (space != std::string::npos && line->find(' ', space + 1) == std::string::npos) {
        return {line->substr(0, space), line->substr(space + 1)};
      }
    }
    if (const List* pair = merge.get_if<List>(); pair && pair->size() == 2) {
      const std::string *left = (*pair)[0].get_if<std::string>(), *right = (*pair)[1].get_if<std::string>();
      if (left && right) return {*left, *right};
    }
    entry.refuse(fmt::format("must hold pairs of strings, found {} at [{}]", to_json(merge), rank));
  }

  static void add(std::vector<Symbol>& word, int64_t id) {
    const auto place = static_cast<int32_t>(word.size());
    if (place > 0) word.back().next = place;
    word.push_back({static_cast<uint32_t>(id), place - 1, -1, false});
  }

  /// The id of the character at [begin, end) of `piece`, or -1.
  int64_t character_id(std::string_view piece, size_t begin, size_t end) const {
    const bool is_first = begin == 0, is_last = end == piece.size();
    const std::string_view text = piece.substr(begin, end - begin);
    if ((is_first || prefix_.empty()) && (!is_last || suffix_.empty())) {
      size_t at = 0;
      const char32_t code = next_code_point(text, at);
      return code < characters_.size() ? characters_[code] : vocabulary_.find(text);
    }
    return vocabulary_.find(dressed(text, is_first, is_last));
  }

  std::string dressed(std::string_view text, bool is_first, bool is_last) const {
    std::string out = is_first ? "" : prefix_;
    out += text;
    if (is_last) out += suffix_;
    return out;
  }

  /// The characters of `piece` as symbols. Unknown ones become bytes, or the unknown piece, or nothing if there is none.
  void spell(std::string_view piece, std::vector<Symbol>& word) const {
    // An unknown piece waits until a known one follows: that is where Hugging Face's `tokenizers` puts it, behind any
    // bytes between.
    bool waits = false;
    for (size_t at = 0; at < piece.size();) {
      const size_t begin = at;
      at += code_point_length(piece[at]);
      const int64_t id = character_id(piece, begin, at);
      if (id >= 0) {
        if (waits) add(word, unknown_id_);
        waits = false;
        add(word, id);
        continue;
      }
      if (falls_back_) {
        const std::string bytes = dressed(piece.substr(begin, at - begin), begin == 0, at == piece.size());
        const auto known = [this](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; };
        if (std::all_of(bytes.begin(), bytes.end(), known)) {
          for (const char c : bytes) add(word, bytes_[static_cast<unsigned char>(c)]);
          continue;
        }
      }
      if (!unknown_) continue;
      if (unknown_id_ < 0) {
        throw FormatError(
            fmt::format("{}: the text has a character of no piece, and the unk_token \"{}\" is not in the "
                        "vocabulary",
                        where_, *unknown_));
      }
      if (waits && !fuses_unknown_) add(word, unknown_id_);
      waits = true;
    }
    if (waits) add(word, unknown_id_);
  }

  void merge(std::vector<Symbol>& word) const {
    static thread_local std::vector<Candidate> heap;
    heap.clear();
    const auto consider = [&](int32_t place) {
      const uint64_t* merge = merges_.find(pair_of(word[place].id, word[word[place].next].id));
      if (merge) heap.push_back({static_cast<uint32_t>(*merge >> 32), static_cast<uint32_t>(*merge), place});
      return merge != nullptr;
    };
    for (size_t place = 0; place + 1 < word.size(); ++place) consider(static_cast<int32_t>(place));
    std::make_heap(heap.begin(), heap.end());
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end());
      const Candidate top = heap.back();
      heap.pop_back();
      Symbol& left = word[top.place];
      if (left.is_gone || left.next < 0) continue;
      Symbol& right = word[left.next];
      // The neighbours may have changed since; what counts is that the same piece comes of them.
      const uint64_t* merge = merges_.find(pair_of(left.id, right.id));
      if (!merge || static_cast<uint32_t>(*merge) != top.id) continue;
      left.id = top.id;
      left.next = right.next;
      right.is_gone = true;
      if (right.next >= 0) word[right.next].previous = top.place;
      if (left.previous >= 0 && consider(left.previous)) std::push_heap(heap.begin(), heap.end());
      if (left.next >= 0 && consider(top.place)) std::push_heap(heap.begin(), heap.end());
    }
  }

  std::string where_;
  std::optional<std::string> unknown_;
  int64_t unknown_id_ = -1;
  std::string prefix_, suffix_;
  bool fuses_unknown_, falls_back_, ignores_merges_;
  FlatTable merges_;  // two ids to rank and id
  std::array<int64_t, 256> bytes_;
  std::array<int64_t, 0x300> characters_;
};

}  // namespace

std::unique_ptr<TokenModel> read_bpe(const Entry& entry) { return std::make_unique<Bpe>(entry); }

}  // namespace peftlab::tokenize
