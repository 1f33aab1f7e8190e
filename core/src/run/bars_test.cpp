/// Lines of progress on terminals of any width.

#include "run/bars.h"

#include <gtest/gtest.h>

namespace peftlab::run {
namespace {

TEST(Bars, ALineHasItsBarWhereThereIsRoom) {
  EXPECT_EQ(bar_line("lora", 0.5, "2/4 steps", 100), "lora: [############............] 2/4 steps");
  // Two for ": ", three for "[] ": 30 - 4 - 9 - 5 = 12 are left for the bar.
  EXPECT_EQ(bar_line("lora", 0.5, "2/4 steps", 30), "lora: [######......] 2/4 steps");
}

TEST(Bars, TheBarGivesWayFirstThenTheTitle) {
  EXPECT_EQ(bar_line("lora", 0.5, "2/4 steps", 20), "lora: 2/4 steps");
  EXPECT_EQ(bar_line("a-long-name", 0.5, "2/4 steps", 17), "a-lon…: 2/4 steps");
  EXPECT_EQ(bar_line("näme-of-it", 0.5, "2/4 steps", 15), "näm…: 2/4 steps");
}

TEST(Bars, NoLineIsWiderThanTheTerminal) {
  for (size_t columns = 1; columns < 60; ++columns) {
    const std::string line = bar_line("abcdefghij", 0.3, "12/40 steps, loss 1.0", columns);
    size_t characters = 0;
    for (const char c : line) characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
    EXPECT_LE(characters, columns) << line;
  }
}

TEST(Bars, DurationsReadAsClocks) {
  EXPECT_EQ(duration_text(-1.0), "-:--");
  EXPECT_EQ(duration_text(61.4), "1:01");
  EXPECT_EQ(duration_text(3723.0), "1:02:03");
}

}  // namespace
}  // namespace peftlab::run
