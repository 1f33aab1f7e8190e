/// Every tokenizer, part and set of characters of tests/oracle/tokenizers against the answers recorded there.

#include "support/files.h"
#include "tokenize/decode.h"
#include "tokenize/normalize.h"
#include "tokenize/pre_tokenize.h"
#include "tokenize/tokenize.h"
#include "tokenize/utf8.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

namespace peftlab::tokenize {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

fs::path oracle() {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  return fs::path(source ? source : ".") / "tests" / "oracle" / "tokenizers";
}

Value json(const fs::path& file) { return parse_json(read_text(oracle() / file), file.string()); }

const std::vector<std::string>& texts() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> out;
    const Value recorded = json("texts.json");
    for (const Value& text : *recorded.get_if<List>()) out.push_back(*text.get_if<std::string>());
    return out;
  }();
  return all;
}

/// "1 2 3"
Ids numbers(const Value& text) {
  std::istringstream words(*text.get_if<std::string>());
  Ids out;
  for (int64_t number = 0; words >> number;) out.push_back(number);
  return out;
}

const List& list(const Value& table, const char* key) { return *table.find(key)->get_if<List>(); }

/// A text as its code points, so that a difference can be seen.
std::string shown(const std::string& text) {
  std::string out = "\"" + text + "\"";
  for (size_t at = 0; at < text.size();) {
    char code[16];
    std::snprintf(code, sizeof code, " %X", static_cast<unsigned>(next_code_point(text, at)));
    out += code;
  }
  return out;
}

/// The folders that hold an expected.json.
std::vector<std::string> folders() {
  std::vector<std::string> names;
  std::error_code absent;
  for (const auto& entry : fs::directory_iterator(oracle(), absent)) {
    if (fs::exists(entry.path() / "expected.json")) names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class TokenizerOracle : public ::testing::TestWithParam<std::string> {};

TEST_P(TokenizerOracle, EveryTextHasTheSameIdsAndTextBack) {
  const auto tokenizer = load_tokenizer(oracle() / GetParam());
  const Value expected = json(fs::path(GetParam()) / "expected.json");
  EXPECT_EQ(tokenizer->size(), *expected.find("size")->get_if<int64_t>());
  ASSERT_EQ(list(expected, "ids").size(), texts().size());
  for (size_t i = 0; i < texts().size(); ++i) {
    const Ids ids = numbers(list(expected, "ids")[i]);
    EXPECT_EQ(tokenizer->encode(texts()[i]), ids) << i << ": " << shown(texts()[i]);
    const Value& decoded = list(expected, "decoded")[i];
    const std::string& text = decoded.is_null() ? texts()[i] : *decoded.get_if<std::string>();
    EXPECT_EQ(tokenizer->decode(ids), text) << i << ": " << shown(text);
  }
  for (size_t i = 0; i < list(expected, "special").size(); ++i) {
    EXPECT_EQ(tokenizer->encode_with_special_tokens(texts()[i]), numbers(list(expected, "special")[i])) << i;
  }
  for (size_t i = 0; i < list(expected, "cut").size(); ++i) {
    EXPECT_EQ(tokenizer->encode_with_special_tokens(texts()[i], 8), numbers(list(expected, "cut")[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(All, TokenizerOracle, ::testing::ValuesIn(folders()),
                         [](const auto& test) { return test.param; });

Piece whole(const std::string& text) { return {text, text.empty() ? 0 : code_point_length(text[0]), true}; }

TEST(PartsOracle, Normalizers) {
  const Value parts = json("parts.json");
  for (const Value& entry : list(parts, "normalizer")) {
    const auto normalizer = read_normalizer(Entry(*entry.find("part"), "part"));
    const List& results = list(entry, "results");
    for (size_t i = 0; i < results.size(); ++i) {
      Piece piece = whole(texts()[2 * i]);
      normalizer->apply(piece);
      const std::string& wanted = results[i].is_null() ? texts()[2 * i] : *results[i].get_if<std::string>();
      EXPECT_EQ(shown(piece.text), shown(wanted)) << to_json(*entry.find("part")) << "\n of " << shown(texts()[2 * i]);
    }
  }
}

TEST(PartsOracle, PreTokenizers) {
  const Value parts = json("parts.json");
  for (const Value& entry : list(parts, "pre_tokenizer")) {
    const auto pre_tokenizer = read_pre_tokenizer(Entry(*entry.find("part"), "part"));
    const List& results = list(entry, "results");
    for (size_t i = 0; i < results.size(); ++i) {
      const std::string& text = texts()[2 * i];
      std::vector<Piece> pieces;
      if (!text.empty()) pieces.push_back(whole(text));
      pre_tokenizer->apply(pieces);
      std::string found, wanted;
      if (results[i].get_if<std::string>()) {
        for (const Piece& piece : pieces) found += std::to_string(count_code_points(piece.text)) + " ";
        wanted = *results[i].get_if<std::string>() + (pieces.empty() ? "" : " ");
      } else {
        for (const Piece& piece : pieces) found += shown(piece.text) + "\n";
        for (const Value& piece : *results[i].get_if<List>()) wanted += shown(*piece.get_if<std::string>()) + "\n";
      }
      EXPECT_EQ(found, wanted) << to_json(*entry.find("part")) << "\n of " << shown(text);
    }
  }
}

TEST(PartsOracle, Decoders) {
  const Value parts = json("parts.json");
  for (const Value& entry : list(parts, "decoder")) {
    const auto decoder = read_decoder(Entry(*entry.find("part"), "part"));
    for (size_t i = 0; i < list(entry, "results").size(); ++i) {
      std::vector<std::string> pieces;
      for (const Value& piece : *list(parts, "pieces")[i].get_if<List>())
        pieces.push_back(*piece.get_if<std::string>());
      decoder->apply(pieces);
      std::string text;
      for (const std::string& piece : pieces) text += piece;
      EXPECT_EQ(text, *list(entry, "results")[i].get_if<std::string>())
          << to_json(*entry.find("part")) << ", pieces " << i;
    }
  }
}

TEST(PatternOracle, SetsHoldTheSameCharacters) {
  const Value classes = json("classes.json");
  for (const auto& [name, steps] : *classes.get_if<Table>()) {
    if (name == "versions") continue;
    const Pattern pattern = Pattern::of_expression(name, "test");
    std::vector<bool> wanted(0x110000);
    size_t at = 0, is_inside = 0;
    for (const int64_t step : numbers(steps)) {
      if (is_inside) std::fill_n(wanted.begin() + at, step, true);
      at += step;
      is_inside = !is_inside;
    }
    size_t differences = 0;
    for (char32_t code = 0; code < 0x110000; ++code) {
      if (0xD800 <= code && code < 0xE000) continue;
      std::string text;
      append_code_point(text, code);
      const bool found = pattern.cut(text)[0].found;
      if (found != wanted[code] && ++differences <= 5) {
        ADD_FAILURE() << name << (found ? " holds U+" : " lacks U+") << std::hex << static_cast<unsigned>(code);
      }
    }
    EXPECT_EQ(differences, 0u) << name;
  }
}

}  // namespace
}  // namespace peftlab::tokenize
