#include "tokenize/normalize.h"

#include "tokenize/precompiled.h"
#include "tokenize/unicode.h"

#include <fmt/format.h>

namespace peftlab::tokenize {
namespace {

class Sequence final : public Normalizer {
 public:
  explicit Sequence(const Entry& entry) {
    for (const Entry& part : entry.at("normalizers").list()) parts_.push_back(read_normalizer(part));
  }
  void apply(Piece& piece) const override {
    for (const auto& part : parts_) part->apply(piece);
  }

 private:
  std::vector<std::unique_ptr<Normalizer>> parts_;
};

void to_normal_form(Piece& piece, NormalForm form) {
  std::string out = normalized(form, piece.text);
  if (piece.head > 0) piece.head = std::min(out.size(), normalized(form, piece.text.substr(0, piece.head)).size());
  piece.text = std::move(out);
}

class Form final : public Normalizer {
 public:
  explicit Form(NormalForm form) : form_(form) {}
  void apply(Piece& piece) const override { to_normal_form(piece, form_); }

 private:
  NormalForm form_;
};

class Lowercase final : public Normalizer {
 public:
  void apply(Piece& piece) const override { rewrite(piece, append_lower_case); }
};

class Strip final : public Normalizer {
 public:
  explicit Strip(const Entry& entry)
      : left_(entry.at("strip_left").boolean()), right_(entry.at("strip_right").boolean()) {}

  void apply(Piece& piece) const override {
    size_t begin = 0, end = piece.text.size();
    while (left_ && begin < end) {
      size_t next = begin;
      if (!is_white_space(next_code_point(piece.text, next))) break;
      begin = next;
    }
    while (right_ && begin < end) {
      size_t previous = end;
      if (!is_white_space(previous_code_point(piece.text, previous))) break;
      end = previous;
    }
    piece.head = piece.head > begin ? std::min(piece.head, end) - begin : 0;
    piece.text = piece.text.substr(begin, end - begin);
  }

 private:
  bool left_, right_;
};

class StripAccents final : public Normalizer {
 public:
  void apply(Piece& piece) const override {
    rewrite(piece, [](std::string& out, char32_t code) {
      if (!is_mark(code)) append_code_point(out, code);
    });
  }
};

class Replace final : public Normalizer {
 public:
  explicit Replace(const Entry& entry)
      : pattern_(read_pattern(entry.at("pattern"))), content_(entry.at("content").text()) {}
  void apply(Piece& piece) const override { replace(piece, pattern_, content_); }

 private:
  Pattern pattern_;
  std::string content_;
};

class Prepend final : public Normalizer {
 public:
  explicit Prepend(const Entry& entry) : text_(entry.at("prepend").text()) {}
  void apply(Piece& piece) const override { prepend(piece, text_); }

 private:
  std::string text_;
};

/// The blocks of CJK ideographs that BERT sets apart, one gap and all.
bool is_chinese(char32_t code) {
  return (0x4E00 <= code && code <= 0x9FFF) || (0x3400 <= code && code <= 0x4DBF) ||
         (0x20000 <= code && code <= 0x2A6DF) || (0x2A700 <= code && code <= 0x2B73F) ||
         (0x2B740 <= code && code <= 0x2B81F) || (0x2B920 <= code && code <= 0x2CEAF) ||
         (0xF900 <= code && code <= 0xFAFF) || (0x2F800 <= code && code <= 0x2FA1F);
}

/// BERT's BasicTokenizer up to its cutting.
class Bert final : public Normalizer {
 public:
  explicit Bert(const Entry& entry)
      : clean_(entry.at("clean_text").boolean()),
        chinese_(entry.at("handle_chinese_chars").boolean()),
        lower_(entry.at("lowercase").boolean()),
        accents_(entry.boolean("strip_accents", lower_)) {}

  void apply(Piece& piece) const override {
    const bool is_ascii = std::none_of(piece.text.begin(), piece.text.end(), [](char c) { return (c & 0x80) != 0; });
    if (clean_) {
      rewrite(piece, [](std::string& out, char32_t code) {
        if (is_white_space(code)) {
          // Vertical tab, form feed and U+0085 are control characters before they are white space.
          if (code == '\t' || code == '\n' || code == '\r' || !is_control(code)) out += ' ';
        } else if (code != 0 && code != 0xFFFD && !is_control(code)) {
          append_code_point(out, code);
        }
      });
    }
    if (chinese_ && !is_ascii) {
      rewrite(piece, [](std::string& out, char32_t code) {
        if (is_chinese(code)) out += ' ';
        append_code_point(out, code);
        if (is_chinese(code)) out += ' ';
      });
    }
    if (accents_ && !is_ascii) {
      to_normal_form(piece, NormalForm::nfd);
      rewrite(piece, [](std::string& out, char32_t code) {
        if (!is_nonspacing_mark(code)) append_code_point(out, code);
      });
    }
    if (lower_) rewrite(piece, append_lower_case);
  }

 private:
  bool clean_, chinese_, lower_, accents_;
};

/// sentencepiece's rule "nmt" without its normalization form.
class Nmt final : public Normalizer {
 public:
  void apply(Piece& piece) const override {
    rewrite(piece, [](std::string& out, char32_t code) {
      const bool is_dropped = (1 <= code && code <= 8) || code == 0x0B || (0x0E <= code && code <= 0x1F) ||
                              code == 0x7F || code == 0x8F || code == 0x9F;
      const bool is_space = code == 0x09 || code == 0x0A || code == 0x0C || code == 0x0D || code == 0x1680 ||
                            (0x200B <= code && code <= 0x200F) || code == 0x2028 || code == 0x2029 || code == 0x2581 ||
                            code == 0xFEFF || code == 0xFFFD;
      if (!is_dropped) append_code_point(out, is_space ? U' ' : code);
    });
  }
};

class ByteLevel final : public Normalizer {
 public:
  void apply(Piece& piece) const override { to_byte_characters(piece); }
};

class Charsmap final : public Normalizer {
 public:
  explicit Charsmap(const Entry& entry) : map_(entry.at("precompiled_charsmap")) {}
  void apply(Piece& piece) const override { map_.apply(piece); }

 private:
  Precompiled map_;
};

}  // namespace

Pattern read_pattern(const Entry& entry) {
  const auto& table = entry.table();
  if (table.size() == 1 && table.contains("String")) {
    const Entry literal = entry.at("String");
    // The empty text is found between all characters, as the empty expression is.
    if (literal.text().empty()) return Pattern::of_expression("", literal.where());
    return Pattern::of_text(literal.text());
  }
  if (table.size() == 1 && table.contains("Regex")) {
    const Entry expression = entry.at("Regex");
    return Pattern::of_expression(expression.text(), expression.where());
  }
  entry.refuse(R"(must be {"String": ...} or {"Regex": ...}, found )" + to_json(entry.value()));
}

std::unique_ptr<Normalizer> read_normalizer(const Entry& entry) {
  const std::string& type = entry.at("type").text();
  if (type == "Sequence") return std::make_unique<Sequence>(entry);
  if (type == "NFC") return std::make_unique<Form>(NormalForm::nfc);
  if (type == "NFD") return std::make_unique<Form>(NormalForm::nfd);
  if (type == "NFKC") return std::make_unique<Form>(NormalForm::nfkc);
  if (type == "NFKD") return std::make_unique<Form>(NormalForm::nfkd);
  if (type == "Lowercase") return std::make_unique<Lowercase>();
  if (type == "Strip") return std::make_unique<Strip>(entry);
  if (type == "StripAccents") return std::make_unique<StripAccents>();
  if (type == "Replace") return std::make_unique<Replace>(entry);
  if (type == "Prepend") return std::make_unique<Prepend>(entry);
  if (type == "BertNormalizer") return std::make_unique<Bert>(entry);
  if (type == "Nmt") return std::make_unique<Nmt>();
  if (type == "Precompiled") return std::make_unique<Charsmap>(entry);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>();
  entry.refuse(
      fmt::format("is of the kind \"{}\", which peftlab does not know; it knows Sequence, NFC, NFD, NFKC, NFKD, "
                  "Lowercase, Strip, StripAccents, Replace, Prepend, BertNormalizer, Nmt, Precompiled and ByteLevel",
                  type));
}

}  // namespace peftlab::tokenize
