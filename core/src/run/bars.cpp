#include "run/bars.h"

#include <fmt/format.h>

#include <algorithm>

namespace peftlab::run {
namespace {

constexpr int kWidth = 24;
constexpr auto kFrame = std::chrono::milliseconds(100);
constexpr auto kLineEvery = std::chrono::seconds(10);

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

std::string bar(double share) {
  const int full = std::clamp(static_cast<int>(share * kWidth), 0, kWidth);
  return "[" + std::string(full, '#') + std::string(kWidth - full, '.') + "]";
}

}  // namespace

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
    note(line(known));
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
  return seconds_since(run.first_step) / static_cast<double>(made) * static_cast<double>(run.progress.steps - run.progress.step);
}

std::string Bars::line(const Run& run) const {
  const Progress& p = run.progress;
  if (p.phase != "train") return fmt::format("{}: {}", run.title, p.phase == "evaluate" ? "evaluating" : "loading");
  const double rate = static_cast<double>(p.step - run.first) / std::max(1e-9, seconds_since(run.first_step));
  return fmt::format("{}: {} {}/{} steps, loss {:.4f}, lr {:.2e}, {:.1f} steps/s, {} left", run.title,
                     bar(static_cast<double>(p.step) / static_cast<double>(std::max<int64_t>(1, p.steps))), p.step, p.steps,
                     p.loss, p.learning_rate, rate, duration_text(run_eta(run)));
}

std::string Bars::total_line() const {
  double share = static_cast<double>(done_);
  for (const auto& [name, run] : runs_) {
    if (run.progress.steps > 0) share += static_cast<double>(run.progress.step) / static_cast<double>(run.progress.steps);
  }
  share /= static_cast<double>(std::max<int64_t>(1, total_));
  const double left = share > 0.0 ? seconds_since(began_) / share * (1.0 - share) : -1.0;
  return fmt::format("all: {} {}/{} runs, {} left", bar(share), done_, total_, duration_text(left));
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
  for (const auto& [name, run] : runs_) out_ << line(run) << "\n";
  out_ << total_line() << "\n";
  drawn_ = runs_.size() + 1;
  out_.flush();
}

}  // namespace peftlab::run
