/// The files of `score`, and which plugin reads a data file.

#include "evaluate/text_lines.h"
#include "evaluate/single_prompt.h"
#include "support/files.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <functional>

namespace peftlab::evaluate {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string name = (std::filesystem::temp_directory_path() / "peftlab-lines-XXXXXX").string();
    if (!mkdtemp(name.data())) throw Error("cannot make " + name);
    folder_ = name;
  }
  ~Files() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path write(const std::string& name, const std::string& text) const {
    write_text(folder_ / name, text);
    return folder_ / name;
  }
  static std::string refusal(const std::function<void()>& call) {
    try {
      call();
    } catch (const FormatError& error) {
      return error.what();
    }
    return "nothing was refused";
  }

  std::filesystem::path folder_;
};

TEST_F(Files, PredictionsInTheirOrderWhateverElseALineHolds) {
  const auto file = write("p.jsonl", "{\"prediction\": \"a\"}\r\n{\"prompt\": \"x\", \"prediction\": \"\"}");
  EXPECT_THAT(read_predictions(file), ElementsAre("a", ""));
}

TEST_F(Files, ReferencesAreOneOrSeveralAndMayBeMissing) {
  const auto file =
      write("r.jsonl", "{\"reference\": \"a\"}\n{\"references\": [\"b\", null]}\n{\"reference\": null}\n");
  const auto references = read_references(file);
  ASSERT_EQ(references.size(), 3u);
  EXPECT_THAT(references[0], ElementsAre("a"));
  EXPECT_THAT(references[1], ElementsAre("b", std::nullopt));
  EXPECT_THAT(references[2], ElementsAre(std::nullopt));
}

TEST_F(Files, RefusalsNameTheLine) {
  const auto empty_line = write("a.jsonl", "{\"prediction\": \"a\"}\n\n{\"prediction\": \"b\"}\n");
  EXPECT_THAT(refusal([&] { read_predictions(empty_line); }), HasSubstr("a.jsonl:2: is an empty line"));
  const auto number = write("b.jsonl", "{\"prediction\": 3}\n");
  EXPECT_THAT(refusal([&] { read_predictions(number); }), HasSubstr("b.jsonl:1: wanted {\"prediction\": text}"));
  const auto both = write("c.jsonl", "{\"reference\": \"a\", \"references\": [\"a\"]}\n");
  EXPECT_THAT(refusal([&] { read_references(both); }), HasSubstr("c.jsonl:1: wanted either"));
  EXPECT_THAT(refusal([&] { read_references(write("d.jsonl", "")); }), HasSubstr("is empty"));
}

TEST_F(Files, WhatNamesPicturesIsReadByImageText) {
  EXPECT_EQ(dataset_for(write("a.csv", "text,\"image_path\"\nx,y.png\n")), "image_text");
  EXPECT_EQ(dataset_for(write("a.jsonl", "{\"img\": \"y.png\", \"label\": \"x\"}\n")), "image_text");
  EXPECT_EQ(dataset_for(write("b.csv", "text\nimage_path\n")), "text");
  EXPECT_EQ(dataset_for(write("b.jsonl", "{\"text\": \"image_path\"}\n")), "text");
  EXPECT_EQ(dataset_for(folder_ / "not_there.csv"), "text");
}

}  // namespace
}  // namespace peftlab::evaluate
