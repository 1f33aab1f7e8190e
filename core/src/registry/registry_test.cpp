#include "registry/host_state.h"
#include "registry/registry.h"
#include "registry/trial.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/utils.h>

#include <cfenv>
#include <csignal>
#include <cstdlib>
#include <fstream>

namespace peftlab::registry {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

fs::path binary() { return std::getenv("PEFTLAB_BINARY_DIR"); }
fs::path fixture(const std::string& name) { return binary() / "tests/fixtures" / name; }

/// The reason the only library of a fixture's folder is refused for.
std::string refusal(const std::string& name) {
  const Registry registry({fixture(name)});
  EXPECT_TRUE(registry.plugins().empty());
  EXPECT_EQ(registry.refusals().size(), 1u);
  return registry.refusals().empty() ? "" : registry.refusals()[0].reason;
}

TEST(Registry, LoadsEveryPluginThatWasBuilt) {
  const Registry registry({binary() / "plugins"});
  EXPECT_TRUE(registry.refusals().empty());
  EXPECT_EQ(registry.find(Kind::method, "lora").name, "lora");
  EXPECT_EQ(registry.find(Kind::method, "LORA").name, "lora") << "an alias names the same plugin";
  EXPECT_EQ(registry.find(Kind::model, "chatglm").name, "visualglm");
  EXPECT_EQ(registry.find(Kind::metric, "bleu").sha256.size(), 64u);
}

TEST(Registry, ReadsOptionsFromTheConstructor) {
  const Registry registry({binary() / "plugins"});
  const auto options = registry.options(registry.find(Kind::method, "lora"));
  ASSERT_FALSE(options.empty());
  EXPECT_EQ(options[0].name, "rank");
  EXPECT_EQ(options[0].default_, "8");
}

TEST(Registry, RefusesAnOldAbiNamingBoth) {
  EXPECT_THAT(refusal("old_abi"), HasSubstr("built for plugin ABI 0, this peftlab has ABI " + std::to_string(kAbi)));
}

TEST(Registry, RefusesAnotherLibTorchNamingBoth) {
  EXPECT_THAT(refusal("other_torch"), HasSubstr("LibTorch 1.13.1, this peftlab runs with " TORCH_VERSION));
}

TEST(Registry, RefusesAnotherCompilerAbiNamingBoth) {
  EXPECT_THAT(refusal("other_cxx11"), HasSubstr("_GLIBCXX_USE_CXX11_ABI=0, this peftlab with 1"));
}

TEST(Registry, RefusesALibraryThatIsNoPlugin) {
  EXPECT_THAT(refusal("no_manifest"), HasSubstr("no peftlab plugin"));
  EXPECT_THAT(refusal("no_record"), HasSubstr("no peftlab plugin"));
}

// AddressSanitizer puts a function of its own around dlopen, through which no exception passes.
#ifndef __SANITIZE_ADDRESS__
TEST(Registry, RefusesALibraryThatThrowsWhileLoaded) {
  EXPECT_THAT(refusal("throws_on_load"), HasSubstr("no loading today"));
}
#endif

TEST(Registry, OutlivesLibrariesThatEndTheProcess) {
  EXPECT_EQ(refusal("segfaults_on_load"), "loading it ends the process: signal 11 (Segmentation fault)");
  EXPECT_EQ(refusal("exits_on_load"), "loading it ends the process: exit code 0");
}

TEST(Registry, GivesUpOnALibraryThatNeverFinishesLoading) {
  const fs::path file = fixture("hangs_on_load") / "hangs_on_load.so";
  const auto ended = loads_that_end_the_process({file, binary() / "plugins/bleu.so"}, std::chrono::seconds(1));
  EXPECT_THAT(ended, ::testing::ElementsAre(::testing::Pair(file, HasSubstr("no end within 1 s"))));
}

TEST(Registry, AfterALibraryThatEndsTheProcessTheOthersAreTried) {
  const auto ended = loads_that_end_the_process(
      {binary() / "plugins/bleu.so", fixture("exits_on_load") / "exits_on_load.so", binary() / "plugins/rouge.so",
       fixture("segfaults_on_load") / "segfaults_on_load.so", binary() / "plugins/chrf.so"});
  EXPECT_EQ(ended.size(), 2u);
}

TEST(Registry, PutsBackWhatAPluginChangesOfTheHost) {
  const HostState before(/*random=*/true);
  const Registry registry({fixture("rude")});
  ASSERT_TRUE(registry.refusals().empty()) << registry.refusals()[0].reason;
  EXPECT_THAT(before.restore(), ::testing::IsEmpty()) << "after loading it";
  const HostState between(/*random=*/false);
  Params params;
  registry.make_metric("rude", params);
  EXPECT_THAT(between.restore(), ::testing::IsEmpty()) << "after making an object";
}

TEST(HostState, NamesWhatChanged) {
  const HostState before(/*random=*/true);
  std::fesetround(FE_DOWNWARD);
  torch::manual_seed(99);
  std::signal(SIGTERM, SIG_IGN);
  EXPECT_THAT(before.restore(), ::testing::ElementsAre("the rounding of floating-point numbers", "the handler of SIGTERM",
                                                       "LibTorch's random stream"));
  EXPECT_THAT(before.restore(), ::testing::IsEmpty());
}

TEST(Registry, RefusesAFileThatIsNoLibrary) {
  const fs::path folder = fs::path(::testing::TempDir()) / "no_library";
  fs::create_directories(folder);
  std::ofstream(folder / "text.so") << "This is no library.";
  const Registry registry({folder});
  ASSERT_EQ(registry.refusals().size(), 1u);
  EXPECT_THAT(registry.refusals()[0].reason, HasSubstr("no shared library"));
}

TEST(Registry, RefusesTheSecondOfOneName) {
  const Registry registry({binary() / "plugins", fixture("duplicate")});
  ASSERT_EQ(registry.refusals().size(), 1u);
  EXPECT_THAT(registry.refusals()[0].reason,
              HasSubstr("`bleu` is taken by " + (binary() / "plugins/bleu.so").string()));
  EXPECT_EQ(registry.find(Kind::metric, "bleu").file, binary() / "plugins/bleu.so");
}

TEST(Registry, AThrowingFactoryIsAPluginError) {
  const Registry registry({fixture("throwing")});
  Params params;
  try {
    registry.make_metric("throwing", params);
    FAIL() << "nothing was thrown";
  } catch (const PluginError& error) {
    EXPECT_THAT(error.what(), HasSubstr("plugin throwing"));
    EXPECT_THAT(error.what(), HasSubstr("no object today"));
  }
}

TEST(Registry, AnUnknownNameIsToldTheNearest) {
  const Registry registry({binary() / "plugins", fixture("old_abi")});
  try {
    registry.find(Kind::method, "lroa");
    FAIL() << "nothing was thrown";
  } catch (const PluginError& error) {
    EXPECT_THAT(error.what(), HasSubstr("there is no method plugin `lroa`"));
    EXPECT_THAT(error.what(), HasSubstr("lora"));
  }
  try {
    registry.find(Kind::metric, "old_abi");
    FAIL() << "nothing was thrown";
  } catch (const PluginError& error) {
    EXPECT_THAT(error.what(), HasSubstr("was refused: it was built for plugin ABI 0"));
  }
}

TEST(Registry, ANameIsOfOneKind) {
  const Registry registry({binary() / "plugins"});
  EXPECT_EQ(registry.find_if(Kind::metric, "lora"), nullptr);
}

TEST(Registry, AMissingFolderIsSaid) {
  const Registry registry({"/nowhere/at/all"});
  ASSERT_EQ(registry.refusals().size(), 1u);
  EXPECT_THAT(registry.refusals()[0].reason, HasSubstr("cannot be read"));
}

}  // namespace
}  // namespace peftlab::registry
