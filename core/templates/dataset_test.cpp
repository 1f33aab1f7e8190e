/// %CLASS% on files written here. `peftlab plugins check` tries what every data set must do.

#include <peftlab/error.h>
#include <peftlab/testing/plugins.h>

#include <gtest/gtest.h>

#include <fstream>

namespace peftlab {
namespace {

std::filesystem::path written(const std::string& text) {
  const auto file = std::filesystem::path(::testing::TempDir()) / "%NAME%.tsv";
  std::ofstream(file) << text;
  return file;
}

TEST(%CLASS%, ReadsPromptsAndTargets) {
  auto dataset = testing::make_dataset("%NAME%");
  dataset->open(written(">34=\t4\n\n>51=\t5\n"), std::nullopt);
  ASSERT_EQ(dataset->size(), 2);
  EXPECT_EQ(dataset->example(1).prompt, ">51=");
  EXPECT_EQ(dataset->example(1).target, "5");
  EXPECT_EQ(dataset->place(1), "%NAME%.tsv:3") << "empty lines are counted, and are no examples";
}

TEST(%CLASS%, NamesTheLineThatIsBroken) {
  try {
    testing::make_dataset("%NAME%")->open(written(">34=\t4\n>51=5\n"), std::nullopt);
    FAIL() << "nothing was thrown";
  } catch (const FormatError& error) {
    EXPECT_NE(std::string(error.what()).find("%NAME%.tsv:2"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace peftlab
