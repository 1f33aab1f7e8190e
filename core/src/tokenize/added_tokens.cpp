#include "tokenize/added_tokens.h"

#include "tokenize/unicode.h"

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::tokenize {
namespace {

AddedToken read_token(const Entry& entry) {
  entry.at("id").id();
  return {entry.at("content").text(),   entry.at("single_word").boolean(), entry.at("lstrip").boolean(),
          entry.at("rstrip").boolean(), entry.at("normalized").boolean(),  entry.at("special").boolean()};
}

bool ends_with_word(std::string_view text) {
  size_t end = text.size();
  return end > 0 && is_word(previous_code_point(text, end));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word(next_code_point(text, at));
}

/// Where the white space at the end of text[0, end) begins.
size_t space_before(std::string_view text, size_t end) {
  while (end > 0) {
    size_t previous = end;
    if (!is_white_space(previous_code_point(text, previous))) break;
    end = previous;
  }
  return end;
}

/// Where the white space from `at` on ends.
size_t space_behind(std::string_view text, size_t at) {
  while (at < text.size()) {
    size_t next = at;
    if (!is_white_space(next_code_point(text, next))) break;
    at = next;
  }
  return at;
}

}  // namespace

AddedTokens::AddedTokens(const std::vector<Entry>& entries, const TokenModel& model, const Normalizer* normalizer) {
  next_ = model.vocabulary().count();
  for (const Entry& entry : entries) add(read_token(entry), model);
  for (const auto& [id, token] : tokens_) {
    Piece form{token.content};
    if (token.normalized && normalizer) normalizer->apply(form);
    if (!form.text.empty()) (token.normalized ? normalized_ : raw_).set(form.text, static_cast<uint32_t>(id));
  }
}

void AddedTokens::add(const AddedToken& token, const TokenModel& model) {
  if (token.content.empty()) return;
  if (token.special) special_.insert(token.content);
  int64_t id = find(token.content);
  if (id < 0) id = model.vocabulary().find(token.content);
  if (id < 0) id = next_++;
  ids_[token.content] = id;
  tokens_[id] = token;
  end_ = std::max(end_, id + 1);
}

int64_t AddedTokens::find(const std::string& content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? -1 : found->second;
}

const std::string* AddedTokens::content(int64_t id) const {
  const auto found = tokens_.find(id);
  return found == tokens_.end() ? nullptr : &found->second.content;
}

std::vector<Claim> AddedTokens::cut(const Piece& piece, const ByteTrie& trie) const {
  const std::string_view text = piece.text;
  std::vector<Claim> claims;
  size_t covered = 0;
  const auto claim = [&](size_t begin, size_t end, int64_t id) {
    if (begin < end) claims.push_back({piece.slice(begin, end), id});
  };
  for (size_t at = 0; at < text.size();) {
    // The leftmost, and of those the longest.
    size_t length = 0;
    int64_t id = -1;
    trie.each_prefix(text.substr(at), [&](size_t count, uint32_t value) {
      length = count;
      id = value;
    });
    if (id < 0) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + length;
    at = end;
    const AddedToken& token = tokens_.at(id);
    if (token.single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end)))) continue;
    if (token.lstrip) begin = std::max(space_before(text, begin), covered);
    if (token.rstrip) end = space_behind(text, end);
    if (covered < begin) claim(covered, begin, -1);
    claim(begin, end, id);
    covered = end;
  }
  claim(covered, text.size(), -1);
  return claims;
}

std::vector<Claim> AddedTokens::cut(const std::string& text, const Normalizer* normalizer) const {
  Piece whole{text, text.empty() ? 0 : code_point_length(text[0]), true};
  std::vector<Claim> out;
  for (Claim& outer : cut(whole, raw_)) {
    if (outer.id >= 0) {
      out.push_back(std::move(outer));
      continue;
    }
    if (normalizer) normalizer->apply(outer.piece);
    for (Claim& inner : cut(outer.piece, normalized_)) out.push_back(std::move(inner));
  }
  return out;
}

}  // namespace peftlab::tokenize
