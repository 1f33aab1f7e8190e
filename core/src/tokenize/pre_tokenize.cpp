#include "tokenize/pre_tokenize.h"

#include "tokenize/normalize.h"
#include "tokenize/unicode.h"

#include <fmt/format.h>

#include <limits>

namespace peftlab::tokenize {
namespace {

/// Replaces each piece by the parts of it that `cut` leaves.
template <typename Cut>
void cut_each(std::vector<Piece>& pieces, Cut cut) {
  std::vector<Piece> out;
  out.reserve(pieces.size());
  for (const Piece& piece : pieces) {
    for (const Stretch& part : cut(piece.text)) {
      if (part.begin < part.end) out.push_back(piece.slice(part.begin, part.end));
    }
  }
  pieces = std::move(out);
}

/// The text cut at each character that `is_found` accepts: every such character is a stretch of its own.
template <typename IsFound>
std::vector<Stretch> cut_at(std::string_view text, IsFound is_found) {
  std::vector<Stretch> stretches;
  size_t covered = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    if (!is_found(next_code_point(text, at))) continue;
    if (covered < begin) stretches.push_back({covered, begin, false});
    stretches.push_back({begin, at, true});
    covered = at;
  }
  if (covered < text.size()) stretches.push_back({covered, text.size(), false});
  return stretches;
}

template <typename IsFound>
void split_at(std::vector<Piece>& pieces, IsFound is_found, Behavior behavior) {
  cut_each(pieces, [&](std::string_view text) { return split(cut_at(text, is_found), behavior); });
}

class Sequence final : public PreTokenizer {
 public:
  explicit Sequence(const Entry& entry) {
    for (const Entry& part : entry.at("pretokenizers").list()) parts_.push_back(read_pre_tokenizer(part));
  }
  void apply(std::vector<Piece>& pieces) const override {
    for (const auto& part : parts_) part->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> parts_;
};

/// GPT-2's cutting, and bytes as characters.
class ByteLevel final : public PreTokenizer {
 public:
  explicit ByteLevel(const Entry& entry)
      : space_(entry.at("add_prefix_space").boolean()),
        cuts_(entry.boolean("use_regex", true)),
        pattern_(Pattern::of_expression(R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)",
                                        entry.where())) {}

  void apply(std::vector<Piece>& pieces) const override {
    for (Piece& piece : pieces) {
      if (space_ && !piece.text.starts_with(' ')) prepend(piece, " ");
    }
    if (cuts_) {
      cut_each(pieces, [&](std::string_view text) { return split(pattern_.cut(text), Behavior::isolated); });
    }
    for (Piece& piece : pieces) to_byte_characters(piece);
  }

 private:
  bool space_, cuts_;
  Pattern pattern_;
};

class Split final : public PreTokenizer {
 public:
  explicit Split(const Entry& entry)
      : pattern_(read_pattern(entry.at("pattern"))),
        behavior_(read_behavior(entry.at("behavior"))),
        invert_(entry.at("invert").boolean()) {}

  void apply(std::vector<Piece>& pieces) const override {
    cut_each(pieces, [&](std::string_view text) {
      std::vector<Stretch> stretches = pattern_.cut(text);
      if (invert_) {
        for (Stretch& stretch : stretches) stretch.found = !stretch.found;
      }
      return split(stretches, behavior_);
    });
  }

 private:
  Pattern pattern_;
  Behavior behavior_;
  bool invert_;
};

class Bert final : public PreTokenizer {
 public:
  void apply(std::vector<Piece>& pieces) const override {
    split_at(pieces, is_white_space, Behavior::removed);
    split_at(pieces, is_punctuation, Behavior::isolated);
  }
};

/// \w+|[^\w\s]+ of Rust's `regex`: runs of word characters, and runs of others that are no white space.
class Whitespace final : public PreTokenizer {
 public:
  void apply(std::vector<Piece>& pieces) const override {
    cut_each(pieces, [](std::string_view text) {
      std::vector<Stretch> parts;
      int last = 0;
      for (size_t at = 0; at < text.size();) {
        const size_t begin = at;
        const char32_t code = next_code_point(text, at);
        const int kind = is_word(code) ? 1 : is_white_space(code) ? 0 : 2;
        if (kind != 0 && kind == last) parts.back().end = at;
        if (kind != 0 && kind != last) parts.push_back({begin, at, true});
        last = kind;
      }
      return parts;
    });
  }
};

class WhitespaceSplit final : public PreTokenizer {
 public:
  void apply(std::vector<Piece>& pieces) const override { split_at(pieces, is_white_space, Behavior::removed); }
};

class Punctuation final : public PreTokenizer {
 public:
  explicit Punctuation(const Entry& entry) {
    if (const auto given = entry.find("behavior")) behavior_ = read_behavior(*given);
  }
  void apply(std::vector<Piece>& pieces) const override { split_at(pieces, is_punctuation, behavior_); }

 private:
  Behavior behavior_ = Behavior::isolated;
};

class Digits final : public PreTokenizer {
 public:
  explicit Digits(const Entry& entry)
      : behavior_(entry.at("individual_digits").boolean() ? Behavior::isolated : Behavior::contiguous) {}
  void apply(std::vector<Piece>& pieces) const override { split_at(pieces, is_numeric, behavior_); }

 private:
  Behavior behavior_;
};

class Metaspace final : public PreTokenizer {
 public:
  explicit Metaspace(const Entry& entry)
      : character_(entry.at("replacement").character()),
        scheme_(read_prepend_scheme(entry)),
        cuts_(entry.boolean("split", true)) {
    append_code_point(text_, character_);
  }

  void apply(std::vector<Piece>& pieces) const override {
    for (Piece& piece : pieces) {
      rewrite(piece,
              [&](std::string& out, char32_t code) { append_code_point(out, code == U' ' ? character_ : code); });
      const bool wanted = scheme_ == PrependScheme::always || (scheme_ == PrependScheme::first && piece.is_first);
      if (wanted && !piece.text.starts_with(text_)) prepend(piece, text_);
    }
    if (cuts_)
      split_at(
          pieces, [this](char32_t code) { return code == character_; }, Behavior::merged_with_next);
  }

 private:
  char32_t character_;
  std::string text_;
  PrependScheme scheme_;
  bool cuts_;
};

class CharDelimiterSplit final : public PreTokenizer {
 public:
  explicit CharDelimiterSplit(const Entry& entry) : delimiter_(entry.at("delimiter").character()) {}
  void apply(std::vector<Piece>& pieces) const override {
    split_at(
        pieces, [this](char32_t code) { return code == delimiter_; }, Behavior::removed);
  }

 private:
  char32_t delimiter_;
};

class FixedLength final : public PreTokenizer {
 public:
  explicit FixedLength(const Entry& entry) {
    if (const auto given = entry.find("length")) length_ = given->integer(1, std::numeric_limits<int32_t>::max());
  }
  void apply(std::vector<Piece>& pieces) const override {
    cut_each(pieces, [this](std::string_view text) {
      std::vector<Stretch> parts;
      int64_t count = 0;
      for (size_t at = 0; at < text.size(); ++count) {
        const size_t begin = at;
        next_code_point(text, at);
        if (count % length_ == 0) parts.push_back({begin, at, true});
        parts.back().end = at;
      }
      return parts;
    });
  }

 private:
  int64_t length_ = 5;
};

}  // namespace

Behavior read_behavior(const Entry& entry) {
  const std::string& name = entry.text();
  if (name == "Removed") return Behavior::removed;
  if (name == "Isolated") return Behavior::isolated;
  if (name == "MergedWithPrevious") return Behavior::merged_with_previous;
  if (name == "MergedWithNext") return Behavior::merged_with_next;
  if (name == "Contiguous") return Behavior::contiguous;
  entry.refuse(
      fmt::format("must be Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous, found \"{}\"", name));
}

std::vector<Stretch> split(const std::vector<Stretch>& stretches, Behavior behavior) {
  std::vector<Stretch> out;
  out.reserve(stretches.size());
  bool previous = false;
  switch (behavior) {
    case Behavior::isolated:
      return stretches;
    case Behavior::removed:
      for (const Stretch& stretch : stretches) {
        if (!stretch.found) out.push_back(stretch);
      }
      return out;
    case Behavior::contiguous:
    case Behavior::merged_with_previous:
      for (const Stretch& stretch : stretches) {
        const bool merges = behavior == Behavior::contiguous ? stretch.found == previous : stretch.found && !previous;
        if (merges && !out.empty()) {
          out.back().end = stretch.end;
        } else {
          out.push_back(stretch);
        }
        previous = stretch.found;
      }
      return out;
    case Behavior::merged_with_next:
      for (auto stretch = stretches.rbegin(); stretch != stretches.rend(); ++stretch) {
        if (stretch->found && !previous && !out.empty()) {
          out.back().begin = stretch->begin;
        } else {
          out.push_back(*stretch);
        }
        previous = stretch->found;
      }
      std::reverse(out.begin(), out.end());
      return out;
  }
  return out;
}

PrependScheme read_prepend_scheme(const Entry& entry) {
  PrependScheme scheme = PrependScheme::always;
  if (const auto given = entry.find("prepend_scheme")) {
    const std::string& name = given->text();
    if (name == "first") {
      scheme = PrependScheme::first;
    } else if (name == "never") {
      scheme = PrependScheme::never;
    } else if (name != "always") {
      given->refuse(fmt::format("must be first, never or always, found \"{}\"", name));
    }
  }
  if (!entry.boolean("add_prefix_space", true) && scheme != PrependScheme::never) {
    entry.refuse("has \"add_prefix_space\": false, which does not agree with its \"prepend_scheme\"");
  }
  return scheme;
}

std::unique_ptr<PreTokenizer> read_pre_tokenizer(const Entry& entry) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") return std::make_unique<Sequence>(entry);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(entry);
  if (type == "Split") return std::make_unique<Split>(entry);
  if (type == "BertPreTokenizer") return std::make_unique<Bert>();
  if (type == "Whitespace") return std::make_unique<Whitespace>();
  if (type == "WhitespaceSplit") return std::make_unique<WhitespaceSplit>();
  if (type == "Punctuation") return std::make_unique<Punctuation>(entry);
  if (type == "Digits") return std::make_unique<Digits>(entry);
  if (type == "Metaspace") return std::make_unique<Metaspace>(entry);
  if (type == "CharDelimiterSplit") return std::make_unique<CharDelimiterSplit>(entry);
  if (type == "FixedLength") return std::make_unique<FixedLength>(entry);
  entry.refuse(
      fmt::format("is of the kind \"{}\", which peftlab does not know; it knows Sequence, ByteLevel, Split, "
                  "BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation, Digits, Metaspace, "
                  "CharDelimiterSplit and FixedLength",
                  type));
}

}  // namespace peftlab::tokenize
