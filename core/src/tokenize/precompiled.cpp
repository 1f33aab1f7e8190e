#include "tokenize/precompiled.h"

#include "tokenize/utf8.h"

#include <peftlab/error.h>

#include <unicode/ubrk.h>
#include <unicode/utext.h>

#include <array>

namespace peftlab::tokenize {
namespace {

/// The bytes that `text` says in base64 with padding. Throws: FormatError through `entry`.
std::string from_base64(const Entry& entry) {
  const std::string_view text = entry.text();
  std::array<int, 256> value;
  value.fill(-1);
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kDigits.size(); ++i) value[static_cast<unsigned char>(kDigits[i])] = static_cast<int>(i);
  size_t digits = text.size();
  while (digits > 0 && text.size() - digits < 2 && text[digits - 1] == '=') --digits;
  if (text.size() % 4 != 0 || digits % 4 == 1) entry.refuse("is no base64: its length is no multiple of 4");
  std::string bytes;
  bytes.reserve(digits * 3 / 4);
  uint32_t bits = 0;
  int held = 0;
  for (const char c : text.substr(0, digits)) {
    const int digit = value[static_cast<unsigned char>(c)];
    if (digit < 0) entry.refuse("is no base64");
    bits = bits << 6 | static_cast<uint32_t>(digit);
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes += static_cast<char>(bits >> held & 0xFF);
    }
  }
  return bytes;
}

uint32_t little_endian(const std::string& bytes, size_t at) {
  uint32_t value = 0;
  for (int i = 3; i >= 0; --i) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
  return value;
}

// The fields of a unit of darts-clone: a label that only an inner unit can equal, the distance to the children, whether
// a value lies at distance 0, and that value.
uint32_t label_of(uint32_t unit) { return unit & 0x800000FFu; }
uint32_t distance_of(uint32_t unit) { return unit >> 10 << ((unit & 0x200u) >> 6); }
bool has_value(uint32_t unit) { return (unit & 0x100u) != 0; }
uint32_t value_of(uint32_t unit) { return unit & 0x7FFFFFFFu; }

/// Where grapheme clusters end. One for each thread, as ICU's iterator may be used by one at a time.
class Clusters {
 public:
  Clusters() : iterator_(ubrk_open(UBRK_CHARACTER, "", nullptr, 0, &status_)) { check(); }
  ~Clusters() {
    ubrk_close(iterator_);
    utext_close(&text_);
  }

  /// Calls visit(begin, end) for each cluster of `text`.
  template <typename Visit>
  void each(std::string_view text, Visit visit) {
    status_ = U_ZERO_ERROR;
    utext_openUTF8(&text_, text.data(), static_cast<int64_t>(text.size()), &status_);
    ubrk_setUText(iterator_, &text_, &status_);
    check();
    int32_t begin = ubrk_first(iterator_);
    for (int32_t end = ubrk_next(iterator_); end != UBRK_DONE; begin = end, end = ubrk_next(iterator_)) {
      visit(static_cast<size_t>(begin), static_cast<size_t>(end));
    }
  }

 private:
  void check() const {
    if (U_FAILURE(status_)) throw Error(std::string("ICU cannot find grapheme clusters: ") + u_errorName(status_));
  }

  UErrorCode status_ = U_ZERO_ERROR;
  UBreakIterator* iterator_;
  UText text_ = UTEXT_INITIALIZER;
};

}  // namespace

Precompiled::Precompiled(const Entry& entry) {
  const std::string bytes = from_base64(entry);
  const size_t trie_bytes = bytes.size() < 4 ? 0 : little_endian(bytes, 0);
  if (bytes.size() < 4 || trie_bytes % 4 != 0 || trie_bytes == 0 || trie_bytes > bytes.size() - 4) {
    entry.refuse("is no normalization table of sentencepiece: its size of the trie is wrong");
  }
  trie_.resize(trie_bytes / 4);
  for (size_t i = 0; i < trie_.size(); ++i) trie_[i] = little_endian(bytes, 4 + 4 * i);
  replacements_ = bytes.substr(4 + trie_bytes);
  if (!is_valid_utf8(replacements_)) entry.refuse("has replacements that are no UTF-8");
}

std::optional<std::string_view> Precompiled::find(std::string_view part) const {
  size_t node = distance_of(trie_[0]);
  for (const char c : part) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    node ^= byte;
    if (node >= trie_.size() || label_of(trie_[node]) != byte) return std::nullopt;
    const bool is_key = has_value(trie_[node]);
    node ^= distance_of(trie_[node]);
    if (!is_key) continue;
    if (node >= trie_.size()) return std::nullopt;
    const size_t begin = value_of(trie_[node]);
    // A value that points into the middle of a character would break the text.
    if (begin >= replacements_.size() || (replacements_[begin] & 0xC0) == 0x80) return std::nullopt;
    return std::string_view(replacements_).substr(begin, replacements_.find('\0', begin) - begin);
  }
  return std::nullopt;
}

void Precompiled::apply_to_cluster(std::string& out, std::string_view cluster) const {
  if (cluster.size() < 6) {
    if (const auto replacement = find(cluster)) {
      out += *replacement;
      return;
    }
  }
  for (size_t at = 0; at < cluster.size();) {
    const std::string_view character = cluster.substr(at, code_point_length(cluster[at]));
    out += find(character).value_or(character);
    at += character.size();
  }
}

void Precompiled::apply(Piece& piece) const {
  std::string out;
  out.reserve(piece.text.size());
  size_t head = 0;
  const auto visit = [&](size_t begin, size_t end) {
    apply_to_cluster(out, std::string_view(piece.text).substr(begin, end - begin));
    if (begin < piece.head) head = out.size();
  };
  // In ASCII each character is a cluster, but for \r\n.
  const bool is_simple =
      std::none_of(piece.text.begin(), piece.text.end(), [](char c) { return (c & 0x80) != 0 || c == '\r'; });
  if (is_simple) {
    for (size_t at = 0; at < piece.text.size(); ++at) visit(at, at + 1);
  } else {
    static thread_local Clusters clusters;
    clusters.each(piece.text, visit);
  }
  piece.text = std::move(out);
  piece.head = head;
}

}  // namespace peftlab::tokenize
