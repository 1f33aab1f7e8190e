/// From examples to ids, labels and places, with a tokenizer whose ids are the bytes of the text.

#include "test_support.h"

#include <gmock/gmock.h>

namespace peftlab {
namespace {

constexpr int64_t kMask = 256, kSop = 257, kEop = 258, kPad = 259;

class Bytes final : public Tokenizer {
 public:
  explicit Bytes(int64_t sop = kSop, int64_t offset = 0) : sop_(sop), offset_(offset) {}

  std::vector<int64_t> encode(const std::string& text) const override {
    std::vector<int64_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c) + offset_);
    return ids;
  }
  std::string decode(const std::vector<int64_t>&) const override { return ""; }
  std::optional<int64_t> id_of(const std::string& piece) const override {
    return piece == "<sop>" ? std::optional(sop_) : std::nullopt;
  }
  int64_t size() const override { return 260; }

 private:
  int64_t sop_, offset_;
};

std::shared_ptr<Model> byte_model(const std::string& folder) {
  Table config = checkpoint::read_config(oracle(folder));
  config["vocab_size"] = 300;
  config["gmask_token_id"] = kMask;
  config["bos_token_id"] = kSop;
  config["eos_token_id"] = kEop;
  config["pad_token_id"] = kPad;
  return make_model(config);
}

std::vector<int64_t> join(std::initializer_list<std::vector<int64_t>> parts) {
  std::vector<int64_t> all;
  for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

Example text(const std::string& prompt, const std::string& target) {
  Example example;
  example.prompt = prompt;
  example.target = target;
  return example;
}

TEST(VisualGlmEncode, TextIsPromptMaskSopAnswerEop) {
  const auto encoded = byte_model("model_text")->encode(text("ab", "xyz"), Bytes(), 64, true);
  EXPECT_EQ(encoded.tokens, (std::vector<int64_t>{'a', 'b', kMask, kSop, 'x', 'y', 'z', kEop}));
  // [gMASK] is trained to say sop; what eop says is not trained.
  const int64_t no = kNoLabel;
  EXPECT_EQ(encoded.labels, (std::vector<int64_t>{no, no, kSop, 'x', 'y', 'z', kEop, no}));
  EXPECT_EQ(encoded.context, 3);
  EXPECT_EQ(encoded.image_at, -1);
}

TEST(VisualGlmEncode, APictureStandsBetweenItsTags) {
  auto model = byte_model("model");
  Example example = text("what?", "a cat");
  example.has_image = true;
  const auto encoded = model->encode(example, Bytes(), 64, true);
  const Bytes bytes;
  const auto before = join({bytes.encode("<img>"), {kPad, kPad, kPad}, bytes.encode("</img>问：what?\n答：")});
  EXPECT_EQ(encoded.tokens, join({before, {kMask, kSop}, bytes.encode("a cat"), {kEop}}));
  EXPECT_EQ(encoded.image_at, 5);
  EXPECT_EQ(encoded.context, static_cast<int64_t>(before.size()) + 1);

  const auto asked = model->encode(example, Bytes(), 64, false);
  EXPECT_EQ(asked.tokens, join({before, {kMask, kSop}}));
  EXPECT_EQ(asked.labels, std::vector<int64_t>(asked.tokens.size(), kNoLabel));
  EXPECT_EQ(asked.context, encoded.context);
}

TEST(VisualGlmEncode, WhatIsTooLongIsCutAtItsEnd) {
  auto model = byte_model("model_text");
  const int64_t no = kNoLabel;
  const auto answer_cut = model->encode(text("ab", "xyz"), Bytes(), 6, true);
  EXPECT_EQ(answer_cut.tokens, (std::vector<int64_t>{'a', 'b', kMask, kSop, 'x', 'y'}));
  EXPECT_EQ(answer_cut.labels, (std::vector<int64_t>{no, no, kSop, 'x', 'y', no}));
  const auto prompt_cut = model->encode(text("abcdef", "xyz"), Bytes(), 5, true);
  EXPECT_EQ(prompt_cut.tokens, (std::vector<int64_t>{'a', 'b', 'c', kMask, kSop}));
  EXPECT_EQ(prompt_cut.labels, (std::vector<int64_t>{no, no, no, kSop, no}));
  EXPECT_EQ(prompt_cut.context, 4);

  Example example = text("what?", "a cat");
  example.has_image = true;
  auto with_pictures = byte_model("model");
  EXPECT_EQ(with_pictures->encode(example, Bytes(), 10, true).tokens.size(), 10u);  // <img>, 3 places, 2
  EXPECT_THROW(with_pictures->encode(example, Bytes(), 9, true), ConfigError);
}

TEST(VisualGlmEncode, RefusesWhatItCannotSay) {
  Example example = text("a", "b");
  // A tokenizer whose ids go beyond the embedding table.
  EXPECT_THROW(byte_model("model_text")->encode(example, Bytes(kSop, /*offset=*/220), 64, true), FormatError);
  EXPECT_THROW(byte_model("model_text")->encode(example, Bytes(/*sop=*/kEop), 64, true), FormatError);
  example.has_image = true;
  EXPECT_THROW(byte_model("model_text")->encode(example, Bytes(), 64, true), UnsupportedError);
  example.has_image = false;
  example = {.target = "b", .label = "positive"};
  EXPECT_THROW(byte_model("model_text")->encode(example, Bytes(), 64, true), UnsupportedError);
}

}  // namespace
}  // namespace peftlab
