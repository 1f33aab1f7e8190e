#include "tokenize/flat_table.h"
#include "tokenize/models.h"
#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace peftlab::tokenize {
namespace {

/// An unknown character costs this much more than the least probable piece.
constexpr double kUnknownPenalty = 10;

class Unigram final : public TokenModel {
 public:
  explicit Unigram(const Entry& entry) : where_(entry.where()), falls_back_(entry.boolean("byte_fallback", false)) {
    const Entry list = entry.at("vocab");
    const auto pieces = list.list();
    scores_.reserve(pieces.size());
    double least = std::numeric_limits<double>::infinity();
    for (const Entry& piece : pieces) {
      const auto pair = piece.list();
      if (pair.size() != 2) piece.refuse(fmt::format("must be a piece and its score, found {} values", pair.size()));
      const double score = pair[1].number();
      if (!std::isfinite(score)) pair[1].refuse("must be finite");
      const std::string& text = pair[0].text();
      const auto id = static_cast<int64_t>(scores_.size());
      vocabulary_.set(text, id);
      if (!text.empty()) trie_.set(text, static_cast<uint32_t>(id));
      scores_.push_back(score);
      least = std::min(least, score);
    }
    unknown_score_ = least - kUnknownPenalty;
    if (const auto unknown = entry.find("unk_id")) {
      unknown_id_ = unknown->integer(0, std::max<int64_t>(0, static_cast<int64_t>(scores_.size()) - 1));
      if (scores_.empty()) list.refuse("is empty, but unk_id names a piece");
    }
    for (int byte = 0; byte < 256; ++byte)
      bytes_[byte] = vocabulary_.find(byte_piece(static_cast<unsigned char>(byte)));
  }

  void encode(std::string_view piece, std::vector<int64_t>& ids) const override {
    const std::vector<Node> best = best_path(piece);
    // From the end to the start; then each stretch from the start on.
    std::vector<Node> path;
    for (size_t end = piece.size(); end > 0; end = best[end].begin)
      path.push_back({best[end].begin, end, best[end].id, 0});
    for (auto node = path.rbegin(); node != path.rend();) {
      size_t end = node->end;
      const size_t begin = node->begin;
      const bool is_unknown = node->id == unknown_id_;
      ++node;
      if (!is_unknown) {
        ids.push_back((node - 1)->id);
        continue;
      }
      // Unknown neighbours are one, and may even be a piece together.
      for (; node != path.rend() && node->id == unknown_id_; ++node) end = node->end;
      add_unknown(piece.substr(begin, end - begin), ids);
    }
  }

 private:
  /// The best way to the place `end`: over the piece `id` from `begin`.
  struct Node {
    size_t begin = kNowhere, end = 0;
    int64_t id = 0;
    double score = 0;
  };
  static constexpr size_t kNowhere = std::numeric_limits<size_t>::max();

  /// Viterbi: for each place in `piece` the best way to it. Of equals, the one from the earliest start.
  std::vector<Node> best_path(std::string_view piece) const {
    std::vector<Node> best(piece.size() + 1);
    for (size_t begin = 0; begin < piece.size();) {
      const double till_here = best[begin].score;
      const size_t length = code_point_length(piece[begin]);
      bool has_character = false;
      const auto offer = [&](size_t end, int64_t id, double score) {
        Node& node = best[end];
        if (node.begin == kNowhere || score > node.score) node = {begin, end, id, score};
      };
      trie_.each_prefix(piece.substr(begin), [&](size_t count, uint32_t id) {
        // A piece that is no whole number of characters cannot be: pieces are UTF-8.
        offer(begin + count, id, scores_[id] + till_here);
        has_character |= count == length;
      });
      if (!has_character) {
        if (unknown_id_ < 0) refuse_unknown();
        offer(begin + length, unknown_id_, unknown_score_ + till_here);
      }
      begin += length;
    }
    return best;
  }

  void add_unknown(std::string_view text, std::vector<int64_t>& ids) const {
    if (const int64_t id = vocabulary_.find(text); id >= 0) return ids.push_back(id);
    const auto known = [this](char c) { return bytes_[static_cast<unsigned char>(c)] >= 0; };
    if (falls_back_ && std::all_of(text.begin(), text.end(), known)) {
      for (const char c : text) ids.push_back(bytes_[static_cast<unsigned char>(c)]);
      return;
    }
    ids.push_back(unknown_id_);
  }

  [[noreturn]] void refuse_unknown() const {
    throw FormatError(
        fmt::format("{}: the text has a character of no piece, and unk_id names no piece for such", where_));
  }

  std::string where_;
  bool falls_back_;
  std::vector<double> scores_;
  double unknown_score_ = 0;
  int64_t unknown_id_ = -1;
  ByteTrie trie_;
  std::array<int64_t, 256> bytes_;
};

}  // namespace

std::unique_ptr<TokenModel> read_unigram(const Entry& entry) { return std::make_unique<Unigram>(entry); }

}  // namespace peftlab::tokenize
