/// Tokenizers over small sentencepiece models whose pieces and scores stand here, so that every id can be checked.

#include "tokenize/tokenize.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <bit>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace peftlab::tokenize {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

/// The few bytes of the protocol buffer format that a sentencepiece model is made of.
std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(0x80 | (value & 0x7F));
  return out + static_cast<char>(value);
}
std::string number(int field, uint64_t value) { return varint(field << 3) + varint(value); }
std::string bytes(int field, const std::string& value) { return varint(field << 3 | 2) + varint(value.size()) + value; }
std::string real(int field, float value) {
  std::string out = varint(field << 3 | 5);
  for (int i = 0; i < 4; ++i) out += static_cast<char>(std::bit_cast<uint32_t>(value) >> (8 * i));
  return out;
}

enum Type { kNormal = 1, kUnknown = 2, kControl = 3, kUser = 4, kByte = 6 };

struct Piece {
  std::string text;
  Type type = kNormal;
  float score = 0;
};

/// A unigram model with byte fallback, ids 0..3 unk, bos, eos, pad, and nothing normalized.
std::string model_of(const std::vector<Piece>& pieces) {
  std::string out;
  for (const Piece& piece : pieces) {
    out += bytes(1, bytes(1, piece.text) + real(2, piece.score) + number(3, piece.type));
  }
  out += bytes(2, number(3, 1) + number(35, 1) + number(40, 0) + number(41, 1) + number(42, 2) + number(43, 3));
  return out + bytes(3, bytes(1, "identity"));
}

/// 0..3 controls, 4 <n>, 5..12 the specials, 13 <|tab|>, 14..92 blanks, 93..348 bytes, then words.
std::vector<Piece> chatglm_pieces() {
  std::vector<Piece> pieces = {{"<unk>", kUnknown}, {"<s>", kControl}, {"</s>", kControl}, {"<pad>", kControl}};
  for (const char* text :
       {"<n>", "[MASK]", "[gMASK]", "[sMASK]", "<unused_0>", "<sop>", "<eop>", "<ENC>", "<dBLOCK>", "<|tab|>"}) {
    pieces.push_back({text, kUser});
  }
  for (int k = 2; k <= 80; ++k) pieces.push_back({"<|blank_" + std::to_string(k) + "|>", kUser});
  for (int b = 0; b < 256; ++b) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", b);
    pieces.push_back({text, kByte});
  }
  for (const char* text : {"▁", "▁red", "▁ball", "red", "ball", "a"}) pieces.push_back({text, kNormal, -1.0f});
  return pieces;
}
constexpr int64_t kByte0 = 93, kSpace = 349, k_Red = 350, k_Ball = 351, kRed = 352, kBall = 353;

class TokenizeTest : public ::testing::Test {
 protected:
  TokenizeTest() : folder_(fs::temp_directory_path() / ("peftlab_tokenize_test_" + std::to_string(::getpid()))) {
    fs::create_directories(folder_);
  }
  ~TokenizeTest() override { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
  }
  std::unique_ptr<Tokenizer> chatglm(const std::string& image_tokens) {
    write("ice_text.model", model_of(chatglm_pieces()));
    write("tokenizer_config.json", "{\"num_image_tokens\": " + image_tokens + "}");
    return load_tokenizer(folder_);
  }
  std::string refusal() {
    try {
      load_tokenizer(folder_);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_;
};

TEST_F(TokenizeTest, ChatGlmEncodesLineBreaksTabsAndRunsOfSpaces) {
  const auto tokenizer = chatglm("0");
  EXPECT_EQ(tokenizer->encode("red ball"), (Ids{k_Red, k_Ball}));
  EXPECT_EQ(tokenizer->encode("red\nball"), (Ids{k_Red, 4, kBall}));
  EXPECT_EQ(tokenizer->encode("red\tball"), (Ids{k_Red, 13, kBall}));
  // k spaces are piece 12 + k; more than 80 start anew, and one that is left over stays a space.
  EXPECT_EQ(tokenizer->encode("red  ball"), (Ids{k_Red, 14, kBall}));
  EXPECT_EQ(tokenizer->encode("red   ball"), (Ids{k_Red, 15, kBall}));
  EXPECT_EQ(tokenizer->encode("red" + std::string(80, ' ') + "ball"), (Ids{k_Red, 92, kBall}));
  EXPECT_EQ(tokenizer->encode("red" + std::string(81, ' ') + "ball"), (Ids{k_Red, 92, k_Ball}));
  EXPECT_EQ(tokenizer->encode("red" + std::string(83, ' ') + "ball"), (Ids{k_Red, 92, 15, kBall}));
  EXPECT_EQ(tokenizer->encode("\n\n"), (Ids{kSpace, 4, 4}));
  EXPECT_EQ(tokenizer->encode(""), Ids{});
}

TEST_F(TokenizeTest, ChatGlmSpellsUnknownCharactersInBytes) {
  const auto tokenizer = chatglm("0");
  // U+1F44B is F0 9F 91 8B in UTF-8.
  EXPECT_EQ(tokenizer->encode("red👋"), (Ids{k_Red, kByte0 + 0xF0, kByte0 + 0x9F, kByte0 + 0x91, kByte0 + 0x8B}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("red👋")), "red👋");
}

TEST_F(TokenizeTest, ChatGlmDecodesWhatItEncoded) {
  for (const char* image_tokens : {"0", "20000"}) {
    const auto tokenizer = chatglm(image_tokens);
    for (const std::string text : {"red ball", "red\n\tball", "a  b   c", "  red", "红 ball\n"}) {
      EXPECT_EQ(tokenizer->decode(tokenizer->encode(text)), text) << image_tokens;
    }
    EXPECT_EQ(tokenizer->decode(tokenizer->encode("a" + std::string(200, ' ') + "b")),
              "a" + std::string(200, ' ') + "b");
  }
}

TEST_F(TokenizeTest, ChatGlmLeavesOutSpecialPiecesAndIdsOfNoPiece) {
  const auto tokenizer = chatglm("0");
  const int64_t size = tokenizer->size();
  EXPECT_EQ(size, 355);
  EXPECT_EQ(tokenizer->decode({-100, 6, 9, k_Red, 3, 0, k_Ball, 10, size, int64_t{1} << 40}), "red ball");
  EXPECT_EQ(tokenizer->decode({}), "");
}

TEST_F(TokenizeTest, ImageTokensRaiseEveryId) {
  const auto tokenizer = chatglm("20000");
  EXPECT_EQ(tokenizer->encode("red\nball"), (Ids{20000 + k_Red, 20004, 20000 + kBall}));
  EXPECT_EQ(tokenizer->id_of("<sop>"), 20009);
  EXPECT_EQ(tokenizer->id_of("<unk>"), 20000);
  EXPECT_EQ(tokenizer->size(), 20355);
  // Ids below the offset are pictures' and have no text.
  EXPECT_EQ(tokenizer->decode({3, 19999, 20000 + k_Red}), "red");
}

TEST_F(TokenizeTest, IdOfKnowsExactPiecesOnly) {
  const auto tokenizer = chatglm("0");
  EXPECT_EQ(tokenizer->id_of("<sop>"), 9);
  EXPECT_EQ(tokenizer->id_of("[gMASK]"), 6);
  EXPECT_EQ(tokenizer->id_of("<unk>"), 0);
  EXPECT_EQ(tokenizer->id_of("red"), kRed);
  EXPECT_EQ(tokenizer->id_of("green"), std::nullopt);
  EXPECT_EQ(tokenizer->id_of(""), std::nullopt);
}

TEST_F(TokenizeTest, PlainSentencepieceChangesNothing) {
  for (const char* name : {"tokenizer.model", "spiece.model", "mine.model"}) {
    write(name, model_of(chatglm_pieces()));
    const auto tokenizer = load_tokenizer(folder_);
    EXPECT_EQ(tokenizer->encode("red ball"), (Ids{k_Red, k_Ball})) << name;
    EXPECT_EQ(tokenizer->encode("red\nball"), (Ids{k_Red, kByte0 + '\n', kBall})) << name;
    EXPECT_EQ(tokenizer->decode({1, k_Red, kByte0 + '\n', kBall, 2}), "red\nball") << name;
    EXPECT_EQ(tokenizer->size(), 355) << name;
    fs::remove(folder_ / name);
  }
}

TEST_F(TokenizeTest, SentencepieceFramesTextsAsItsFolderSays) {
  write("tokenizer.model", model_of(chatglm_pieces()));
  const auto ids = [&](int64_t max_length = 0) {
    return load_tokenizer(folder_)->encode_with_special_tokens("red ball", max_length);
  };
  EXPECT_EQ(ids(), (Ids{1, k_Red, k_Ball}));  // as LLaMA: bos
  EXPECT_EQ(ids(2), (Ids{1, k_Red}));
  write("tokenizer_config.json", R"({"add_bos_token": false, "add_eos_token": true})");
  EXPECT_EQ(ids(), (Ids{k_Red, k_Ball, 2}));
  write("tokenizer_config.json", R"({"tokenizer_class": "T5TokenizerFast"})");
  EXPECT_EQ(ids(), (Ids{k_Red, k_Ball, 2}));
  write("tokenizer_config.json", R"({"tokenizer_class": "AlbertTokenizer"})");
  EXPECT_EQ(load_tokenizer(folder_)->encode("red ball"), (Ids{k_Red, k_Ball}));
  EXPECT_THROW(ids(), UnsupportedError);
}

TEST_F(TokenizeTest, RefusalsNameWhatWasFoundAndWhatIsRead) {
  using ::testing::HasSubstr;
  EXPECT_THAT(refusal(), HasSubstr("holds no tokenizer; what can be read is"));
  write("vocab.json", "{}");
  write("tokenizer.pkl", "");
  EXPECT_THAT(refusal(), HasSubstr("(tokenizer.pkl, vocab.json) are of a kind that cannot be read"));
  write("sentencepiece.bpe.model", model_of(chatglm_pieces()));
  EXPECT_THAT(refusal(), HasSubstr("sentencepiece.bpe.model) are of a kind"));
  write("one.model", model_of(chatglm_pieces()));
  write("two.model", model_of(chatglm_pieces()));
  EXPECT_THAT(refusal(), HasSubstr("several sentencepiece models (one.model, two.model)"));
  write("tokenizer.model", "no protocol buffer");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.model: is not a sentencepiece model"));
  write("tokenizer.model", "");
  EXPECT_THAT(refusal(), HasSubstr("tokenizer.model: is not a sentencepiece model"));
  folder_ /= "absent";
  EXPECT_THAT(refusal(), HasSubstr("absent: cannot be read as a folder"));
}

TEST_F(TokenizeTest, ChatGlmRefusesAnIncompleteFolder) {
  using ::testing::HasSubstr;
  write("ice_text.model", model_of(chatglm_pieces()));
  EXPECT_THAT(refusal(), HasSubstr("tokenizer_config.json: is missing"));
  write("tokenizer_config.json", "{}");
  EXPECT_THAT(refusal(), HasSubstr("must be an integer from 0 to 1073741823, found nothing"));
  write("tokenizer_config.json", "{\"num_image_tokens\": -1}");
  EXPECT_THAT(refusal(), HasSubstr("found -1"));
  write("tokenizer_config.json", "{\"num_image_tokens\": 0}");
  auto pieces = chatglm_pieces();
  pieces.erase(pieces.begin() + 9);
  write("ice_text.model", model_of(pieces));
  EXPECT_THAT(refusal(), HasSubstr("ice_text.model: has no piece \"<sop>\""));
}

}  // namespace
}  // namespace peftlab::tokenize
