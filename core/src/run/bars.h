#pragma once

/// \file
/// What a person sees while runs go on: on a terminal, a bar for each run that is working and one for all; elsewhere,
/// plain lines now and then.

#include "run/execute.h"

#include <chrono>
#include <cstdint>
#include <map>
#include <ostream>
#include <string>
#include <vector>

namespace peftlab::run {

/// "1:02:03", "4:05"; "-:--" for what is not known (negative).
std::string duration_text(double seconds);

/// "title: [####....] rest", in at most `columns` characters: the bar gives way first, then the title's end.
std::string bar_line(const std::string& title, double share, const std::string& rest, size_t columns);

/// The width of the terminal that standard error is, 80 where it cannot be told.
size_t terminal_columns();

class Bars {
 public:
  enum class Style { quiet, lines, terminal };

  /// `total` runs are to be made.
  Bars(std::ostream& out, Style style, int64_t total);
  ~Bars();

  void started(const std::string& run, const std::string& title);
  void progress(const std::string& run, const Progress& progress);
  /// `outcome` is said in a line that stays: "finished in 0:21", "failed (diverged): ...".
  void ended(const std::string& run, const std::string& outcome);
  /// A line that stays.
  void note(const std::string& line);
  /// Draws again if it is time: ten times a second on a terminal, each run every 10 s elsewhere.
  void refresh(bool now = false);

 private:
  using Clock = std::chrono::steady_clock;
  struct Run {
    std::string title;
    Progress progress;
    Clock::time_point started, first_step, said;
    int64_t first = 0;  ///< step at first_step
  };

  std::string line(const Run& run, size_t columns) const;
  std::string total_line(size_t columns) const;
  double run_eta(const Run& run) const;
  void erase();

  std::ostream& out_;
  Style style_;
  int64_t total_, done_ = 0;
  std::map<std::string, Run> runs_;
  size_t drawn_ = 0;  ///< lines on the terminal that are ours to overwrite
  Clock::time_point began_ = Clock::now(), last_ = {};
};

}  // namespace peftlab::run
