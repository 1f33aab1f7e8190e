#include "page.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>

namespace peftlab::docs_test {
namespace {

using ::testing::HasSubstr;

TEST(Page, ABlockBehindANameIsAFile) {
  const auto parts = parse_page(
      "Write\n"
      "\n"
      "`data/train.csv`:\n"
      "\n"
      "```csv\n"
      "text,label\n"
      "\n"
      "a,b\n"
      "```\n");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].file, "data/train.csv");
  EXPECT_EQ(parts[0].text, "text,label\n\na,b\n");
  EXPECT_EQ(parts[0].line, 6);
}

TEST(Page, ABlockInConsoleIsASession) {
  const auto parts = parse_page("Then:\n```console\n$ ls\na\n```\n");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].file, "");
  EXPECT_EQ(parts[0].text, "$ ls\na\n");
  EXPECT_EQ(parts[0].line, 3);
}

TEST(Page, PartsComeInTheOrderOfThePage) {
  const auto parts = parse_page("`a`:\n```\n1\n```\n```console\n$ cat a\n```\n`a`:\n```\n2\n```\n");
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].text, "1\n");
  EXPECT_EQ(parts[1].file, "");
  EXPECT_EQ(parts[2].text, "2\n");
}

TEST(Page, OtherBlocksAreForPeople) {
  EXPECT_TRUE(parse_page("```toml\nx = 1\n```\n```sh\nrm a\n```\n    $ indented\n").empty());
  EXPECT_TRUE(parse_page("see `a` and `b`:\n```\n1\n```\n").empty());
  EXPECT_TRUE(parse_page("`a` and `b`:\n```\n1\n```\n").empty());
  EXPECT_TRUE(parse_page("`a`:\n\nBut first a sentence.\n\n```\n1\n```\n").empty());
}

TEST(Page, ANameIsOfOneBlock) {
  const auto parts = parse_page("`a`:\n```\n1\n```\n```\n2\n```\n");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].text, "1\n");
}

TEST(Page, ALongerFenceHoldsShorterOnes) {
  const auto parts = parse_page("`a.md`:\n````markdown\n```console\n$ ls\n```\n````\n");
  ASSERT_EQ(parts.size(), 1u);
  EXPECT_EQ(parts[0].text, "```console\n$ ls\n```\n");
}

TEST(Page, MistakesHaveALine) {
  const auto what = [](const std::string& markdown) -> std::string {
    try {
      parse_page(markdown);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_THAT(what("a\n```console\n$ ls\n"), HasSubstr("line 2: this fence"));
  EXPECT_THAT(what("`../a`:\n```\n1\n```\n"), HasSubstr("line 2: ../a"));
  EXPECT_THAT(what("`/a`:\n```\n1\n```\n"), HasSubstr("line 2: /a"));
}

}  // namespace
}  // namespace peftlab::docs_test
