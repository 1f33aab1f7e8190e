#include "config/diagnostic.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

namespace peftlab::config {
namespace {

constexpr size_t kShown = 20;
constexpr int kWidestLine = 160;  // characters of the source that are shown

/// The characters of line `number` (from 1), what a terminal would not show as itself replaced.
std::vector<std::string> characters_of_line(std::string_view text, int number) {
  for (int i = 1; i < number; ++i) {
    const size_t end = text.find('\n');
    text = end == std::string_view::npos ? "" : text.substr(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) {
    text.remove_suffix(1);
  }
  std::vector<std::string> characters;
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t n = byte < 0x80 ? 1 : byte < 0xC2 ? 0 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : byte < 0xF5 ? 4 : 0;
    const std::string_view character = text.substr(i, std::max<size_t>(n, 1));
    const bool continued =
        n > 0 && character.size() == n &&
        std::all_of(character.begin() + 1, character.end(), [](char c) { return (c & 0xC0) == 0x80; });
    const bool control = byte < 0x20 || byte == 0x7F || (byte == 0xC2 && n == 2 && (character[1] & 0xE0) == 0x80);
    characters.emplace_back(byte == '\t' ? " " : !continued || control ? "?" : character);
    i += continued ? n : 1;
  }
  return characters;
}

std::string render_one(const Diagnostic& d, std::string_view text) {
  const Location& at = d.where;
  if (at.line == 0) {
    std::string out = fmt::format("error: {}\n --> {}\n", d.message, at.file);
    if (!d.hint.empty()) {
      out += fmt::format("  = {}\n", d.hint);
    }
    if (!d.note.empty()) {
      out += fmt::format("  = {}\n", d.note);
    }
    return out;
  }
  const std::string number = std::to_string(at.line);
  const std::string margin(number.size(), ' ');
  const std::vector<std::string> line = characters_of_line(text, at.line);
  const int length = static_cast<int>(line.size());
  const int first = length > kWidestLine && at.column > kWidestLine / 2 ? at.column - kWidestLine / 2 : 1;
  const int last = std::min(length, first + kWidestLine - 1);
  std::string shown = first > 1 ? "..." : "";
  const std::string indent(shown.size() + static_cast<size_t>(std::max(0, at.column - first)), ' ');
  for (int i = first; i <= last; ++i) {
    shown += line[static_cast<size_t>(i - 1)];
  }
  shown += last < length ? "..." : "";
  const std::string carets(static_cast<size_t>(std::clamp(at.width, 1, std::max(1, last - at.column + 1))), '^');

  std::string out = fmt::format("error: {}\n{}--> {}:{}:{}\n", d.message, margin, at.file, at.line, at.column);
  out += fmt::format("{} |\n{} | {}\n{} | {}{}{}\n", margin, number, shown, margin, indent, carets,
                     d.hint.empty() ? "" : " " + d.hint);
  if (!d.note.empty()) {
    out += fmt::format("{} = {}\n", margin, d.note);
  }
  return out;
}

}  // namespace

std::string render(std::vector<Diagnostic> problems, std::string_view text) {
  // What concerns the whole file, or the command line, comes after what has a line.
  const auto position = [](const Diagnostic& d) { return std::tuple(d.where.line == 0, d.where.line, d.where.column); };
  std::stable_sort(problems.begin(), problems.end(),
                   [&](const Diagnostic& a, const Diagnostic& b) { return position(a) < position(b); });
  std::string out;
  for (size_t i = 0; i < std::min(problems.size(), kShown); ++i) {
    out += render_one(problems[i], text) + "\n";
  }
  const std::string more =
      problems.size() > kShown ? fmt::format(", {} of them not shown", problems.size() - kShown) : "";
  return out + fmt::format("{} error{}{}; nothing was run", problems.size(), problems.size() == 1 ? "" : "s", more);
}

}  // namespace peftlab::config
