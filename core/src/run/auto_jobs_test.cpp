#include "run/auto_jobs.h"

#include <gtest/gtest.h>

#include <fstream>
#include <thread>

namespace peftlab::run {
namespace {

std::filesystem::path model_with(const std::string& config) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "auto_jobs";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "config.json") << config;
  return folder;
}

TEST(AutoJobs, AreFromOneToTheCoresAndTheRuns) {
  const auto model = model_with(R"({"model_type": "gpt2", "n_embd": 64})");
  const JobsChoice choice = choose_jobs({.model = model, .rows = 64, .runs = 3});
  EXPECT_GE(choice.jobs, 1);
  EXPECT_LE(choice.jobs, std::max(1U, std::thread::hardware_concurrency()));
  EXPECT_LE(choice.jobs, 3);
  EXPECT_EQ(choice.jobs > 1, choice.gain > 1.0);
}

TEST(AutoJobs, AreOneForOneRunAndForAWidthThatIsNotKnown) {
  EXPECT_EQ(choose_jobs({.model = model_with(R"({"model_type": "gpt2", "n_embd": 64})"), .runs = 1}).jobs, 1);
  EXPECT_EQ(choose_jobs({.model = model_with(R"({"model_type": "other"})"), .runs = 8}).jobs, 1);
}

}  // namespace
}  // namespace peftlab::run
