/// Every file in sessions/ is a session with the program and a test of it. The commands run in an empty folder
/// with peftlab on the PATH, $SOURCE, $PLUGINS, and $STORE, a copy of the sample store.

#include "sample_store.h"
#include "support/files.h"
#include "transcript.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace peftlab::cli_test {
namespace {

namespace fs = std::filesystem;

const fs::path kSessions = fs::path(PEFTLAB_SOURCE) / "tests" / "cli" / "sessions";

std::vector<std::string> transcripts() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kSessions)) names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

std::string shown(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "    " + line + "\n";
  return text;
}

class Transcript : public ::testing::TestWithParam<std::string> {
 protected:
  Transcript() {
    std::string name = (fs::temp_directory_path() / "peftlab-cli-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("cannot make " + name);
    folder_ = name;
    fs::create_directory(folder_ / "work");
    make_sample_store(folder_ / "store");
    setenv("PATH", (PEFTLAB_BINARY ":" + std::string(getenv("PATH"))).c_str(), 1);
    setenv("SOURCE", PEFTLAB_SOURCE, 1);
    setenv("PLUGINS", PEFTLAB_BINARY "/plugins", 1);
    setenv("STORE", (folder_ / "store").c_str(), 1);
    unsetenv("PEFTLAB_STORE");
    unsetenv("PEFTLAB_PLUGIN_PATH");
  }
  ~Transcript() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  fs::path folder_;
};

TEST_P(Transcript, IsAsWritten) {
  const fs::path file = kSessions / (GetParam() + ".txt");
  const std::vector<Step> steps = parse_transcript(read_text(file));
  ASSERT_FALSE(steps.empty());
  for (const Step& step : steps) {
    const Outcome outcome = run_command(step.command, folder_ / "work");
    const std::string place = file.string() + ":" + std::to_string(step.line) + ": $ " + step.command + "\n";
    EXPECT_EQ(outcome.exit_code, step.exit_code) << place << shown(outcome.errors);
    EXPECT_TRUE(matches(step.output, outcome.output)) << place << "standard output was\n" << shown(outcome.output);
    EXPECT_TRUE(matches(step.errors, outcome.errors)) << place << "standard error was\n" << shown(outcome.errors);
  }
}

INSTANTIATE_TEST_SUITE_P(Cli, Transcript, ::testing::ValuesIn(transcripts()),
                         [](const auto& info) { return info.param; });

TEST(TranscriptFormat, WildcardsStandForPartsOfALineAndForLines) {
  EXPECT_TRUE(matches({"a [...] d", "...", "z"}, {"a b c d", "1", "2", "z"}));
  EXPECT_TRUE(matches({"...", "z"}, {"z"}));
  EXPECT_FALSE(matches({"a [...] d"}, {"a b c e"}));
  EXPECT_FALSE(matches({"a"}, {"a", "b"}));
  EXPECT_FALSE(matches({"a", "b"}, {"a"}));
}

}  // namespace
}  // namespace peftlab::cli_test
