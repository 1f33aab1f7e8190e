#include "run/bars.h"

#include <fmt/format.h>

#include <algorithm>

#include <sys/ioctl.h>
#include <unistd.h>

namespace peftlab::run {
namespace {

constexpr size_t kWidth = 24;       // of a bar, where there is room
constexpr size_t kNarrowest = 5;    // below it a bar says nothing
constexpr size_t kLineWidth = 100;  // where lines are not drawn over
constexpr auto kFrame = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(10);

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string bar(double share, size_t width) {
  const auto full = static_cast<size_t>(std::clamp(share, 0.0, 1.0) * static_cast<double>(width));
  return "[" + std::string(full, '#') + std::string(width - full, '.') + "]";
}

bool begins_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

/// Characters of UTF-8.
size_t length(const std::string& text) { return std::count_if(text.begin(), text.end(), begins_character); }

/// Its first `most` characters, the last of them an ellipsis where something is left out.
std::string shortened(const std::string& text, size_t most) {
  if (length(text) <= most) return text;
  size_t end = 0;
  for (size_t kept = 0; end < text.size(); ++end) {
    if (begins_character(text[end]) && ++kept >= most) break;
  }
  return text.substr(0, end) + (most > 0 ? "…" : "");
}

}  // namespace

std::string bar_line(const std::string& title, double share, const std::string& rest, size_t columns) {
  const size_t fixed = length(": ") + length(rest);
  const std::string name = shortened(title, std::max(columns, fixed + 1) - fixed);
  const size_t used = length(name) + fixed + length("[] ");
  const size_t room = columns > used ? columns - used : 0;
  if (room < kNarrowest) return shortened(name + ": " + rest, columns);
  return name + ": " + bar(share, std::min(room, kWidth)) + " " + rest;
}

size_t terminal_columns() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

std::string duration_text(double seconds) {
  if (!(seconds >= 0.0)) return "-:--";
  const auto whole = static_cast<int64_t>(seconds + 0.5);
  if (whole >= 3600) return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
  return fmt::format("{}:{:02}", whole / 60, whole % 60);
}

Bars::Bars(std::ostream& out, Style style, int64_t total) : out_(out), style_(style), total_(total) {}

Bars::~Bars() { erase(); }

void Bars::started(const std::string& run, const std::string& title) {
  Run& added = runs_[run];
  added.title = title;
  added.started = added.said = Clock::now();
  if (style_ == Style::lines) note(title + ": started");
  refresh(true);
}

void Bars::progress(const std::string& run, const Progress& progress) {
  Run& known = runs_.at(run);
  if (progress.phase == "train" && known.progress.phase != "train") {
    known.first_step = Clock::now();
    known.first = progress.step;
  }
  known.progress = progress;
  if (style_ == Style::lines && Clock::now() - known.said >= kLineEvery) {
    known.said = Clock::now();
    note(line(known, kLineWidth));
  }
  refresh();
}

void Bars::ended(const std::string& run, const std::string& outcome) {
  const std::string title = runs_.at(run).title;
  const double took = seconds_since(runs_.at(run).started);
  runs_.erase(run);
  ++done_;
  note(fmt::format("{}: {} [{}] ({} of {}, {} left)", title, outcome, duration_text(took), done_, total_,
                   duration_text(total_ > done_ ? seconds_since(began_) / done_ * (total_ - done_) : 0.0)));
  refresh(true);
}

void Bars::note(const std::string& line) {
  if (style_ == Style::quiet) return;
  erase();
  out_ << line << "\n";
  out_.flush();
}

double Bars::run_eta(const Run& run) const {
  const int64_t made = run.progress.step - run.first;
  if (run.progress.phase != "train" || made < 1) return -1.0;
  return seconds_since(run.first_step) / static_cast<double>(made) *
         static_cast<double>(run.progress.steps - run.progress.step);
}

std::string Bars::line(const Run& run, size_t columns) const {
  const Progress& p = run.progress;
  if (p.phase != "train") {
    const char* doing = p.phase == "evaluate" ? "evaluating" : p.phase == "features" ? "making features" : "loading";
    return shortened(fmt::format("{}: {}", run.title, doing), columns);
  }
  const double rate = static_cast<double>(p.step - run.first) / std::max(1e-9, seconds_since(run.first_step));
  const std::string rest = fmt::format("{}/{} steps, loss {:.4f}, lr {:.2e}, {:.1f} steps/s, {} left", p.step, p.steps,
                                       p.loss, p.learning_rate, rate, duration_text(run_eta(run)));
  return bar_line(run.title, static_cast<double>(p.step) / static_cast<double>(std::max<int64_t>(1, p.steps)), rest,
                  columns);
}

std::string Bars::total_line(size_t columns) const {
  double share = static_cast<double>(done_);
  for (const auto& [name, run] : runs_) {
    if (run.progress.steps > 0)
      share += static_cast<double>(run.progress.step) / static_cast<double>(run.progress.steps);
  }
  share /= static_cast<double>(std::max<int64_t>(1, total_));
  const double left = share > 0.0 ? seconds_since(began_) / share * (1.0 - share) : -1.0;
  return bar_line("all", share, fmt::format("{}/{} runs, {} left", done_, total_, duration_text(left)), columns);
}

void Bars::erase() {
  for (; drawn_ > 0; --drawn_) out_ << "\x1b[1A\x1b[2K";
  out_.flush();
}

void Bars::refresh(bool now) {
  if (style_ != Style::terminal) return;
  if (!now && Clock::now() - last_ < kFrame) return;
  last_ = Clock::now();
  erase();
  // A line as wide as the terminal would wrap on some, and be two to erase.
  const size_t columns = std::max<size_t>(terminal_columns(), 2) - 1;
  for (const auto& [name, run] : runs_) out_ << line(run, columns) << "\n";
  out_ << total_line(columns) << "\n";
  drawn_ = runs_.size() + 1;
  out_.flush();
}

}  // namespace peftlab::run
