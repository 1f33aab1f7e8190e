#include "tokenize/decode.h"

#include "tokenize/normalize.h"
#include "tokenize/pre_tokenize.h"
#include "tokenize/utf8.h"

#include <fmt/format.h>

#include <limits>

namespace peftlab::tokenize {
namespace {

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

std::string join(const std::vector<std::string>& pieces) {
  std::string all;
  for (const std::string& piece : pieces) all += piece;
  return all;
}

class Sequence final : public Decoder {
 public:
  explicit Sequence(const Entry& entry) {
    for (const Entry& part : entry.at("decoders").list()) parts_.push_back(read_decoder(part));
  }
  void apply(std::vector<std::string>& pieces) const override {
    for (const auto& part : parts_) part->apply(pieces);
  }

 private:
  std::vector<std::unique_ptr<Decoder>> parts_;
};

/// Characters back to bytes; a piece with a character that stands for none is text already.
class ByteLevel final : public Decoder {
 public:
  void apply(std::vector<std::string>& pieces) const override {
    std::string bytes;
    for (const std::string& piece : pieces) {
      const size_t before = bytes.size();
      for (size_t at = 0; at < piece.size();) {
        const int byte = byte_of(next_code_point(piece, at));
        if (byte < 0) {
          bytes.resize(before);
          bytes += piece;
          break;
        }
        bytes += static_cast<char>(byte);
      }
    }
    pieces = {repaired_utf8(bytes)};
  }
};

class WordPiece final : public Decoder {
 public:
  explicit WordPiece(const Entry& entry) : prefix_(entry.at("prefix").text()), cleans_(entry.at("cleanup").boolean()) {}

  void apply(std::vector<std::string>& pieces) const override {
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (i > 0) {
        if (pieces[i].starts_with(prefix_)) {
          pieces[i].erase(0, prefix_.size());
        } else {
          pieces[i].insert(0, " ");
        }
      }
      if (cleans_) clean(pieces[i]);
    }
  }

 private:
  /// English punctuation and contractions moved to the word before, in this order.
  static void clean(std::string& piece) {
    static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
        {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
        {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
    for (const auto& [from, to] : kRules) replace_all(piece, from, to);
  }

  std::string prefix_;
  bool cleans_;
};

class Metaspace final : public Decoder {
 public:
  explicit Metaspace(const Entry& entry)
      : character_(entry.at("replacement").character()), scheme_(read_prepend_scheme(entry)) {}

  void apply(std::vector<std::string>& pieces) const override {
    bool is_first = scheme_ != PrependScheme::never;
    for (std::string& piece : pieces) {
      std::string out;
      for (size_t at = 0; at < piece.size();) {
        const char32_t code = next_code_point(piece, at);
        if (code != character_) {
          append_code_point(out, code);
        } else if (!is_first) {
          out += ' ';
        }
      }
      piece = std::move(out);
      is_first = false;
    }
  }

 private:
  char32_t character_;
  PrependScheme scheme_;
};

/// "<0x0A>" to its byte; bytes in a row that are no UTF-8 become a U+FFFD each.
class ByteFallback final : public Decoder {
 public:
  void apply(std::vector<std::string>& pieces) const override {
    std::vector<std::string> out;
    std::string bytes;
    const auto finish = [&] {
      if (is_valid_utf8(bytes)) {
        if (!bytes.empty()) out.push_back(bytes);
      } else {
        out.insert(out.end(), bytes.size(), "\uFFFD");
      }
      bytes.clear();
    };
    for (std::string& piece : pieces) {
      const int byte = byte_in(piece);
      if (byte >= 0) {
        bytes += static_cast<char>(byte);
        continue;
      }
      finish();
      out.push_back(std::move(piece));
    }
    finish();
    pieces = std::move(out);
  }

 private:
  static int byte_in(const std::string& piece) {
    if (piece.size() != 6 || !piece.starts_with("<0x") || piece[5] != '>') return -1;
    int byte = 0;
    for (const char c : {piece[3], piece[4]}) {
      const int digit = '0' <= c && c <= '9'   ? c - '0'
                        : 'A' <= c && c <= 'F' ? c - 'A' + 10
                        : 'a' <= c && c <= 'f' ? c - 'a' + 10
                                               : -1;
      if (digit < 0) return -1;
      byte = 16 * byte + digit;
    }
    return byte;
  }
};

class Fuse final : public Decoder {
 public:
  void apply(std::vector<std::string>& pieces) const override { pieces = {join(pieces)}; }
};

/// Takes up to so many of one character from the start and the end of each piece.
class Strip final : public Decoder {
 public:
  explicit Strip(const Entry& entry)
      : start_(entry.at("start").integer(0, std::numeric_limits<int32_t>::max())),
        stop_(entry.at("stop").integer(0, std::numeric_limits<int32_t>::max())) {
    append_code_point(content_, entry.at("content").character());
  }

  void apply(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) {
      size_t begin = 0, end = piece.size();
      for (int64_t i = 0; i < start_ && std::string_view(piece).substr(begin).starts_with(content_); ++i) {
        begin += content_.size();
      }
      for (int64_t i = 0; i < stop_ && std::string_view(piece).substr(begin, end - begin).ends_with(content_); ++i) {
        end -= content_.size();
      }
      piece = piece.substr(begin, end - begin);
    }
  }

 private:
  std::string content_;
  int64_t start_, stop_;
};

class Replace final : public Decoder {
 public:
  explicit Replace(const Entry& entry)
      : pattern_(read_pattern(entry.at("pattern"))), content_(entry.at("content").text()) {}
  void apply(std::vector<std::string>& pieces) const override {
    for (std::string& piece : pieces) {
      Piece changed{piece};
      replace(changed, pattern_, content_);
      piece = std::move(changed.text);
    }
  }

 private:
  Pattern pattern_;
  std::string content_;
};

/// The mark at a word's end becomes a space, but for the last piece.
class Bpe final : public Decoder {
 public:
  explicit Bpe(const Entry& entry) : suffix_(entry.at("suffix").text()) {
    if (suffix_.empty()) entry.at("suffix").refuse("must not be empty");
  }
  void apply(std::vector<std::string>& pieces) const override {
    for (size_t i = 0; i < pieces.size(); ++i) replace_all(pieces[i], suffix_, i + 1 == pieces.size() ? "" : " ");
  }

 private:
  std::string suffix_;
};

}  // namespace

std::unique_ptr<Decoder> read_decoder(const Entry& entry) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") return std::make_unique<Sequence>(entry);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  if (type == "WordPiece") return std::make_unique<WordPiece>(entry);
  if (type == "Metaspace") return std::make_unique<Metaspace>(entry);
  if (type == "ByteFallback") return std::make_unique<ByteFallback>();
  if (type == "Fuse") return std::make_unique<Fuse>();
  if (type == "Strip") return std::make_unique<Strip>(entry);
  if (type == "Replace") return std::make_unique<Replace>(entry);
  if (type == "BPEDecoder") return std::make_unique<Bpe>(entry);
  entry.refuse(
      fmt::format("is of the kind \"{}\", which peftlab does not know; it knows Sequence, ByteLevel, WordPiece, "
                  "Metaspace, ByteFallback, Fuse, Strip, Replace and BPEDecoder",
                  type));
}

}  // namespace peftlab::tokenize
