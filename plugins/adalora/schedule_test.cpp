/// The budget by hand, and as Hugging Face peft's allocator has it (tests/oracle/methods/make_adalora.py).

#include "schedule.h"

#include <peftlab/value.h>

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace peftlab::adalora {
namespace {

TEST(AdaLoraSchedule, FallsByTheCubeOfWhatIsLeft) {
  const Schedule schedule{.initial = 24, .target = 8, .warmup = 2, .end = 7, .interval = 2};
  // 16 triplets go in five steps: after one of them 0.8^3 * 16 = 8.192 are left of those, then 3.456, 1.024, 0.128.
  const std::vector<int64_t> wanted = {24, 24, 24, 16, 11, 9, 8, 8, 8};
  for (size_t step = 0; step < wanted.size(); ++step) {
    EXPECT_EQ(schedule.budget(static_cast<int64_t>(step)), wanted[step]) << "at step " << step;
  }
}

TEST(AdaLoraSchedule, ChoosesAfterTheWarmupAtMultiplesOfTheInterval) {
  const Schedule schedule{.initial = 24, .target = 8, .warmup = 3, .end = 9, .interval = 3};
  std::vector<int64_t> steps;
  for (int64_t step = 0; step < 9; ++step) {
    if (schedule.chooses(step)) steps.push_back(step);
  }
  EXPECT_EQ(steps, (std::vector<int64_t>{6}));
}

TEST(AdaLoraSchedule, IsThatOfPeft) {
  const char* source = std::getenv("PEFTLAB_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  std::ifstream file(std::string(source) + "/tests/oracle/methods/adalora_training/expected.json");
  std::stringstream text;
  text << file.rdbuf();
  const Value expected = parse_json(text.str(), "expected.json");
  const List& schedules = *expected.find("schedules")->get_if<List>();
  ASSERT_EQ(schedules.size(), 4u);
  for (const Value& one : schedules) {
    const auto number = [&](const char* key) { return *one.find(key)->get_if<int64_t>(); };
    const int64_t end = number("steps") - number("final_steps");
    const Schedule schedule{.initial = number("rank") * number("sites"),
                            .target = number("target_rank") * number("sites"),
                            .warmup = number("warmup_steps"),
                            .end = end,
                            .interval = number("interval")};
    const List& budgets = *one.find("budgets")->get_if<List>();
    const List& allocates = *one.find("allocates")->get_if<List>();
    for (int64_t step = 0; step < number("steps"); ++step) {
      EXPECT_EQ(schedule.budget(step), *budgets[step].get_if<int64_t>()) << to_json(one) << " at step " << step;
      if (step >= end) continue;
      EXPECT_EQ(schedule.chooses(step), *allocates[step].get_if<bool>()) << to_json(one) << " at step " << step;
    }
  }
}

}  // namespace
}  // namespace peftlab::adalora
