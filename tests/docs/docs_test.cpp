/// The documentation does what it says: README.md and every page of docs/ that has a session is followed from top to
/// bottom, in an empty folder with the installed peftlab on the PATH and the models that the pages speak of.

#include "../cli/transcript.h"
#include "page.h"
#include "support/files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace peftlab::docs_test {
namespace {

namespace fs = std::filesystem;

/// What stands for the reader's own models: tiny ones of tests/oracle. The one for pictures has no tokenizer of its own.
constexpr std::pair<const char*, const char*> kModels[] = {
    {"my-model", "causal_models/llama"},
    {"my-picture-model/config.json", "visualglm/model/config.json"},
    {"my-picture-model/model.safetensors", "visualglm/model/model.safetensors"},
    {"my-picture-model/tokenizer.json", "causal_models/gpt2/tokenizer.json"},
};

fs::path given(const char* variable) {
  const char* value = std::getenv(variable);
  if (!value) throw std::runtime_error(std::string(variable) + " is not set");
  return value;
}

std::vector<Part> parts_of(const std::string& page) {
  return parse_page(read_text(given("PEFTLAB_SOURCE_DIR") / page));
}

/// The pages that have something to run, by their paths in the tree.
std::vector<std::string> pages() {
  std::vector<std::string> all = {"README.md"}, found;
  for (const auto& entry : fs::directory_iterator(given("PEFTLAB_SOURCE_DIR") / "docs")) {
    if (entry.path().extension() == ".md") all.push_back("docs/" + entry.path().filename().string());
  }
  for (const std::string& page : all) {
    const std::vector<Part> parts = parts_of(page);
    if (std::any_of(parts.begin(), parts.end(), [](const Part& part) { return part.file.empty(); })) {
      found.push_back(page);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string shown(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "    " + line + "\n";
  return text;
}

class Documentation : public ::testing::TestWithParam<std::string> {
 protected:
  Documentation() {
    std::string name = (fs::temp_directory_path() / "peftlab-docs-XXXXXX").string();
    if (!mkdtemp(name.data())) throw std::runtime_error("cannot make " + name);
    folder_ = name;
    for (const auto& [link, model] : kModels) {
      fs::create_directories((folder_ / link).parent_path());
      fs::create_symlink(given("PEFTLAB_SOURCE_DIR") / "tests/oracle" / model, folder_ / link);
    }
    const fs::path installed = given("PEFTLAB_BINARY_DIR") / "installed";
    setenv("PATH", ((installed / "bin").string() + ":" + std::string(std::getenv("PATH"))).c_str(), 1);
    setenv("CMAKE_PREFIX_PATH", installed.c_str(), 1);
    // Where ccache is, the same text in another temporary folder is the same to it.
    if (std::system("command -v ccache >/dev/null") == 0) setenv("CMAKE_CXX_COMPILER_LAUNCHER", "ccache", 1);
    setenv("CCACHE_BASEDIR", folder_.c_str(), 1);
    setenv("CCACHE_NOHASHDIR", "1", 1);
    unsetenv("PEFTLAB_STORE");
    unsetenv("PEFTLAB_PLUGIN_PATH");
  }
  ~Documentation() override {
    std::error_code ignored;
    fs::remove_all(folder_, ignored);
  }

  /// Runs what stands in `session` and compares.
  void follow(const Part& session) {
    const std::vector<cli_test::Step> steps = cli_test::parse_transcript(session.text);
    EXPECT_FALSE(steps.empty()) << GetParam() << ":" << session.line << ": no command";
    for (const cli_test::Step& step : steps) {
      const cli_test::Outcome outcome = cli_test::run_command(step.command, folder_);
      const std::string place =
          GetParam() + ":" + std::to_string(session.line + step.line - 1) + ": $ " + step.command + "\n";
      EXPECT_EQ(outcome.exit_code, step.exit_code) << place << shown(outcome.errors);
      EXPECT_TRUE(cli_test::matches(step.output, outcome.output)) << place << "standard output was\n"
                                                                  << shown(outcome.output);
      EXPECT_TRUE(cli_test::matches(step.errors, outcome.errors)) << place << "standard error was\n"
                                                                  << shown(outcome.errors);
    }
  }

  fs::path folder_;
};

TEST_P(Documentation, DoesWhatItSays) {
  for (const Part& part : parts_of(GetParam())) {
    if (part.file.empty()) {
      follow(part);
      continue;
    }
    fs::create_directories((folder_ / part.file).parent_path());
    write_text(folder_ / part.file, part.text);
  }
}

INSTANTIATE_TEST_SUITE_P(Docs, Documentation, ::testing::ValuesIn(pages()), [](const auto& info) {
  std::string name = fs::path(info.param).stem().string();
  std::replace_if(
      name.begin(), name.end(), [](unsigned char c) { return !std::isalnum(c); }, '_');
  return name;
});

TEST(DocumentationPages, HoldTheCookbook) { EXPECT_THAT(pages(), ::testing::Contains("docs/cookbook.md")); }

}  // namespace
}  // namespace peftlab::docs_test
