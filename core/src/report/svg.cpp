#include "report/svg.h"

#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

namespace peftlab::report {
namespace {

constexpr double kWidth = 760, kTop = 40, kCharacter = 7.4;

/// The range of all numbers added, widened a little, never empty.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void add(const std::optional<double>& value) {
    if (value) add(*value);
  }
  bool empty() const { return !(low <= high); }
  void widen(double share) {
    const double room = high > low ? (high - low) * share : std::max(std::abs(high) * share, 1e-9);
    low -= room;
    high += room;
  }
};

/// What maps a range of numbers to a range of pixels.
struct Scale {
  double low, high, from, to;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

/// The first characters of a label, so that it fits its place; the whole of it is in the tooltip.
std::string fitted(const std::string& label, size_t limit) {
  if (display_width(label) <= limit) return escape_html(label);
  std::string out;
  size_t width = 0;
  for (size_t i = 0; i < label.size() && width + 1 < limit; ++width) {
    size_t end = i + 1;
    while (end < label.size() && (static_cast<unsigned char>(label[end]) & 0xc0u) == 0x80u && end - i < 4) ++end;
    out += label.substr(i, end - i);
    i = end;
  }
  return escape_html(out) + "…";
}

std::string open_svg(const std::string& title, double height, const std::string& description) {
  return fmt::format(
      "<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"group\" aria-label=\"{}\">\n<title>{}</title>\n<desc>{}</desc>\n"
      "<text class=\"title\" x=\"4\" y=\"20\">{}</text>\n",
      kWidth, height, fitted(title, 200), fitted(title, 200), escape_html(description), fitted(title, 95));
}

std::string line(double x1, double y1, double x2, double y2, const std::string& kind) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2, y2,
                     kind);
}

/// `content` is already escaped.
std::string text(double x, double y, const char* anchor, const std::string& content, const char* kind = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" class=\"{}\">{}</text>\n", x, y, anchor, kind,
                     content);
}

std::string tick_text(double value) { return fmt::format("{:.6g}", std::abs(value) < 1e-12 ? 0.0 : value); }

/// Ten to the power `n`: "1", "10", "100", "1k", ..., "1G", ...
std::string power_text(int n) {
  constexpr std::array<const char*, 6> kSuffixes{"", "k", "M", "G", "T", "P"};
  if (n < 0 || n >= 18) return fmt::format("1e{}", n);
  const auto i = static_cast<size_t>(n);
  return "1" + std::string(i % 3, '0') + kSuffixes[i / 3];
}

std::string count_suffix(double value) {
  constexpr std::array<const char*, 5> kSuffixes{"", "k", "M", "G", "T"};
  size_t i = 0;
  double shown = value;
  while (std::abs(shown) >= 1000 && i + 1 < kSuffixes.size()) {
    shown /= 1000;
    ++i;
  }
  return tick_text(shown) + kSuffixes[i];
}

/// The group of one method: its colour, dashed from the ninth method on, where colours come again.
std::string open_method(size_t index) {
  return fmt::format("<g class=\"of c{}{}\" data-method=\"{}\">\n", index % 8, index / 8 % 2 == 1 ? " later" : "",
                     index);
}

/// A mark with its exact values, of a shape that tells the methods of one colour apart.
std::string mark(double x, double y, size_t index, const std::string& tip) {
  const std::string title = fmt::format("<title>{}</title>", escape_html(tip));
  if (index / 8 % 2 == 0) {
    return fmt::format("<circle class=\"mark fill\" role=\"img\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"5\">{}</circle>\n", x,
                       y, title);
  }
  return fmt::format(
      "<rect class=\"mark fill\" role=\"img\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"9\" height=\"9\">{}</rect>\n", x - 4.5,
      y - 4.5, title);
}

/// A legend on the right, an entry a method; with a script it hides and shows them.
std::string legend(double x, const std::vector<std::pair<std::string, size_t>>& entries) {
  std::string out;
  double y = kTop + 8;
  for (const auto& [label, index] : entries) {
    out += fmt::format("<g class=\"key c{}{}\" data-method=\"{}\"><title>{}</title>", index % 8,
                       index / 8 % 2 == 1 ? " later" : "", index, escape_html(label));
    out += line(x, y - 4, x + 20, y - 4, "line stroke");
    out += index / 8 % 2 == 0
               ? fmt::format("<circle class=\"fill\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\"/>", x + 10, y - 4)
               : fmt::format("<rect class=\"fill\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"8\" height=\"8\"/>", x + 6, y - 8);
    out += text(x + 26, y, "start", fitted(label, 17)) + "</g>\n";
    y += 18;
  }
  return out;
}

constexpr double kLeft = 76, kPlotRight = 590, kLegend = 604;

double plot_bottom(size_t n_entries) { return std::max(kTop + 270, kTop + 18 * static_cast<double>(n_entries)); }

std::string y_axis(const Scale& y, const std::string& name) {
  std::string out;
  for (const double tick : ticks(y.low, y.high)) {
    if (tick < y.low || tick > y.high) continue;
    out += line(kLeft, y(tick), kPlotRight, y(tick), "grid") + text(kLeft - 6, y(tick) + 4, "end", tick_text(tick));
  }
  if (name.empty()) return out;
  return out + fmt::format("<text transform=\"translate(12 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                           (y.from + y.to) / 2, fitted(name, 32));
}

/// Where the ticks of an axis are and what they say.
std::vector<std::pair<double, std::string>> axis_ticks(const Scale& x, bool logarithmic) {
  std::vector<std::pair<double, std::string>> out;
  if (logarithmic) {
    const double stride = std::max(1.0, std::ceil((x.high - x.low) / 8));
    for (double power = std::ceil(x.low); power <= x.high; power += stride) {
      out.emplace_back(x(power), power_text(static_cast<int>(power)));
    }
    return out;
  }
  for (const double tick : ticks(x.low, x.high, 5)) {
    if (tick >= x.low && tick <= x.high) out.emplace_back(x(tick), count_suffix(tick));
  }
  return out;
}

constexpr double kRowLeft = 170, kRowRight = 610, kRow = 24;

/// What figures with one row a method share: the axis below, labels at the left, values at the right.
std::string row_frame(const std::vector<Bar>& bars, const Scale& x, bool logarithmic) {
  const double bottom = kTop + kRow * static_cast<double>(bars.size());
  std::string out;
  for (const auto& [at, label] : axis_ticks(x, logarithmic)) {
    out += line(at, kTop, at, bottom, "grid") + text(at, bottom + 18, "middle", label, "faint");
  }
  for (size_t i = 0; i < bars.size(); ++i) {
    const double y = kTop + kRow * (static_cast<double>(i) + 0.5) + 4;
    out += text(kRowLeft - 10, y, "end", fitted(bars[i].label, 20), bars[i].is_baseline ? "base" : "");
    out += text(kRowRight + 12, y, "start", fitted(bars[i].text, 19), "faint");
  }
  return out;
}

struct Box {
  double left, top, right, bottom;
  bool meets(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

/// The labels of marks that have room beside them; the legend names the others.
std::string labels_with_room(const std::vector<std::pair<double, double>>& places, const std::vector<Mark>& marks) {
  std::vector<Box> taken;
  for (const auto& [x, y] : places) taken.push_back({x - 6, y - 6, x + 6, y + 6});
  std::string out;
  for (size_t i = 0; i < marks.size(); ++i) {
    const auto [x, y] = places[i];
    const double width = kCharacter * static_cast<double>(std::min<size_t>(display_width(marks[i].label), 17));
    for (const auto& [dx, dy] : {std::pair{10.0, 4.0},
                                 {-10.0 - width, 4.0},
                                 {10.0, -8.0},
                                 {-10.0 - width, -8.0},
                                 {10.0, 16.0},
                                 {-10.0 - width, 16.0}}) {
      const Box box{x + dx - 2, y + dy - 12, x + dx + width + 2, y + dy + 4};
      const bool outside = box.left < kLeft || box.right > kPlotRight || box.top < kTop;
      if (outside || std::any_of(taken.begin(), taken.end(), [&](const Box& other) { return box.meets(other); })) {
        continue;
      }
      taken.push_back(box);
      out += fmt::format("<g class=\"of\" data-method=\"{}\">", marks[i].colour) +
             text(x + dx, y + dy, "start", fitted(marks[i].label, 17)) + "</g>\n";
      break;
    }
  }
  return out;
}

/// The steps between the marks on the front, from the cheapest on.
std::string front_line(std::vector<std::pair<double, double>> corners) {
  if (corners.size() < 2) return "";
  std::sort(corners.begin(), corners.end());
  std::string points = fmt::format("{:.1f},{:.1f}", corners[0].first, corners[0].second);
  for (size_t i = 1; i < corners.size(); ++i) {
    points += fmt::format(" {:.1f},{:.1f} {:.1f},{:.1f}", corners[i].first, corners[i - 1].second, corners[i].first,
                          corners[i].second);
  }
  return "<polyline class=\"front\" points=\"" + points + "\"/>\n";
}

}  // namespace

std::vector<double> ticks(double low, double high, int wanted) {
  if (!(high > low) || !std::isfinite(high - low)) return {low};
  const double raw = (high - low) / wanted;
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = 10 * power;
  for (const double factor : {5.0, 2.0, 1.0}) {
    if (factor * power >= raw * 0.999) step = factor * power;
  }
  // Neighbours so close that no round number lies between them.
  if (std::max(std::abs(low), std::abs(high)) / step > 1e12) return {low};
  std::vector<double> out;
  const auto first = static_cast<int64_t>(std::floor(low / step));
  const auto last = static_cast<int64_t>(std::ceil(high / step));
  for (int64_t i = first; i <= last; ++i) out.push_back(static_cast<double>(i) * step);
  return out;
}

std::string curve_chart(const std::string& title, const std::string& x_name, const std::vector<Curve>& curves,
                        bool logarithmic) {
  const auto place = [&](double value) { return logarithmic ? std::log10(value) : value; };
  Range xs, ys;
  for (const Curve& curve : curves) {
    for (size_t i = 0; i < curve.x.size(); ++i) {
      xs.add(place(curve.x[i]));
      ys.add(curve.low[i]);
      ys.add(curve.high[i]);
    }
  }
  if (xs.empty()) return "";
  if (xs.low == xs.high) xs.widen(0.5);
  ys.widen(0.05);
  const double bottom = plot_bottom(curves.size());
  const Scale x{xs.low, xs.high, kLeft, kPlotRight}, y{ys.low, ys.high, bottom, kTop};
  std::string out = open_svg(title, bottom + 44, "One line a method, the mean over its seeds.") + y_axis(y, "");
  for (const auto& [at, label] : axis_ticks(x, logarithmic)) out += text(at, bottom + 18, "middle", label, "faint");
  out += text((x.from + x.to) / 2, bottom + 36, "middle", fitted(x_name, 60));
  std::vector<std::pair<std::string, size_t>> entries;
  for (const Curve& curve : curves) {
    entries.emplace_back(curve.label, curve.colour);
    std::string mean, band, hits;
    const size_t stride = std::max<size_t>(1, curve.x.size() / 24);
    for (size_t i = 0; i < curve.x.size(); ++i) {
      mean += fmt::format("{:.1f},{:.1f} ", x(place(curve.x[i])), y(curve.mean[i]));
      band += fmt::format("{:.1f},{:.1f} ", x(place(curve.x[i])), y(curve.high[i]));
      if (i % stride != 0 && i + 1 != curve.x.size()) continue;
      const std::string n = i < curve.n.size() ? fmt::format(", n = {}", curve.n[i]) : "";
      hits += fmt::format(
          "<circle class=\"mark hit\" cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\"><title>{}\n{} {}: mean {}, from {} to {}{}"
          "</title></circle>\n",
          x(place(curve.x[i])), y(curve.mean[i]), escape_html(curve.label), escape_html(x_name), curve.x[i],
          curve.mean[i], curve.low[i], curve.high[i], n);
    }
    for (size_t i = curve.x.size(); i-- > 0;)
      band += fmt::format("{:.1f},{:.1f} ", x(place(curve.x[i])), y(curve.low[i]));
    out += open_method(curve.colour) +
           fmt::format("<polygon points=\"{}\" class=\"fill band{}\"/>\n", band, curves.size() > 6 ? " pale" : "");
    out += fmt::format("<polyline points=\"{}\" class=\"stroke line\"/>\n", mean) + hits;
    if (curve.x.size() == 1) out += mark(x(place(curve.x[0])), y(curve.mean[0]), curve.colour, curve.label);
    out += "</g>\n";
  }
  return out + legend(kLegend, entries) + "</svg>\n";
}

std::string dot_chart(const std::string& title, const std::vector<Bar>& bars, bool zero) {
  if (bars.empty()) return "";
  Range xs;
  if (zero) xs.add(0.0);
  for (const Bar& bar : bars) {
    xs.add(bar.value);
    xs.add(bar.low);
    xs.add(bar.high);
  }
  xs.widen(0.05);
  const Scale x{xs.low, xs.high, kRowLeft, kRowRight};
  const double bottom = kTop + kRow * static_cast<double>(bars.size());
  std::string out = open_svg(title, bottom + 30, "One row a method: a dot is the number, a line its 95 % interval.");
  out += row_frame(bars, x, false);
  if (zero) out += line(x(0.0), kTop, x(0.0), bottom, "axis");
  for (size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    const double y = kTop + kRow * (static_cast<double>(i) + 0.5);
    out += open_method(bar.colour);
    if (bar.low && bar.high) {
      out += line(x(*bar.low), y, x(*bar.high), y, "whisker stroke");
      for (const double end : {*bar.low, *bar.high}) out += line(x(end), y - 4, x(end), y + 4, "whisker stroke");
    }
    out += mark(x(bar.value), y, bar.colour, bar.tip.empty() ? bar.label : bar.tip) + "</g>\n";
  }
  return out + "</svg>\n";
}

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  if (bars.empty()) return "";
  Range all, positive;
  all.add(0.0);
  for (const Bar& bar : bars) {
    all.add(bar.value);
    if (bar.value > 0) positive.add(bar.value);
  }
  const bool logarithmic = all.low >= 0 && !positive.empty() && positive.high / positive.low > 100;
  if (logarithmic) {
    all.low = std::floor(std::log10(positive.low));
    if (std::log10(positive.low) - all.low < 0.05) all.low -= 1;
    all.high = std::log10(positive.high) + 0.1;
  } else if (all.low == all.high) {
    all.high = 1;
  }
  const Scale x{all.low, all.high, kRowLeft, kRowRight};
  const double bottom = kTop + kRow * static_cast<double>(bars.size());
  std::string out = open_svg(title + (logarithmic ? " (logarithmic)" : ""), bottom + 30, "One bar a method.");
  out += row_frame(bars, x, logarithmic);
  const double base = logarithmic ? x(all.low) : x(0.0);
  for (size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    const double y = kTop + kRow * static_cast<double>(i);
    const double end = !logarithmic ? x(bar.value) : bar.value > 0 ? x(std::log10(bar.value)) : base;
    out += open_method(bar.colour) +
           fmt::format(
               "<rect class=\"mark fill\" role=\"img\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" "
               "height=\"{:.1f}\"><title>{}</title></rect>\n</g>\n",
               std::min(base, end), y + 4, std::abs(end - base), kRow - 8,
               escape_html(bar.tip.empty() ? bar.label : bar.tip));
  }
  return out + line(base, kTop, base, bottom, "axis") + "</svg>\n";
}

std::string scatter_chart(const std::string& title, const std::string& x_name, const std::string& y_name,
                          const std::vector<Mark>& marks) {
  Range xs, ys, positive;
  for (const Mark& mark : marks) {
    xs.add(mark.x);
    if (mark.x > 0) positive.add(mark.x);
    ys.add(mark.y);
    ys.add(mark.low);
    ys.add(mark.high);
  }
  if (xs.empty()) return "";
  const bool logarithmic = xs.low >= 0 && !positive.empty() && positive.high / positive.low >= 100;
  const bool has_zero = logarithmic && xs.low == 0;
  if (logarithmic) {
    xs.low = std::floor(std::log10(positive.low)) - (has_zero ? 1 : 0);
    xs.high = std::ceil(std::log10(positive.high));
  } else {
    xs.widen(0.08);
  }
  ys.widen(0.08);
  const double bottom = plot_bottom(marks.size());
  const Scale x{xs.low, xs.high, kLeft, kPlotRight}, y{ys.low, ys.high, bottom, kTop};
  std::string out = open_svg(title, bottom + 44, "One mark a method.") + y_axis(y, y_name);
  for (const auto& [at, label] : axis_ticks(x, logarithmic)) {
    out += line(at, kTop, at, bottom, "grid");
    out += text(at, bottom + 18, "middle", has_zero && at == x.from ? "0" : label, "faint");
  }
  out += text((x.from + x.to) / 2, bottom + 36, "middle", fitted(x_name + (logarithmic ? " (logarithmic)" : ""), 60));
  std::vector<std::pair<std::string, size_t>> entries;
  std::vector<std::pair<double, double>> places, front;
  for (const Mark& mark : marks) {
    const double at = !logarithmic ? x(mark.x) : mark.x > 0 ? x(std::log10(mark.x)) : x.from;
    places.emplace_back(at, y(mark.y));
    if (mark.on_front) front.push_back(places.back());
  }
  out += front_line(front);
  for (size_t i = 0; i < marks.size(); ++i) {
    const Mark& one = marks[i];
    const double at = places[i].first;
    entries.emplace_back(one.label, one.colour);
    out += open_method(one.colour);
    if (one.low && one.high) out += line(at, y(*one.low), at, y(*one.high), "whisker stroke");
    out += mark(at, places[i].second, one.colour, one.tip.empty() ? one.label : one.tip) + "</g>\n";
  }
  return out + labels_with_room(places, marks) + legend(kLegend, entries) + "</svg>\n";
}

std::string parallel_chart(const std::string& title, const std::vector<Axis>& axes,
                           const std::vector<Thread>& threads) {
  if (axes.size() < 2 || threads.empty()) return "";
  const double top = kTop + 34, bottom = plot_bottom(threads.size());
  const double step = (kPlotRight - 110) / static_cast<double>(axes.size() - 1);
  std::string out = open_svg(title, bottom + 24, "One line a method, through its value on every axis.");
  std::string labels;  // over the lines
  const auto y_of = [&](double place) { return bottom - place * (bottom - top); };
  for (size_t a = 0; a < axes.size(); ++a) {
    const double x = 30 + step * static_cast<double>(a);
    out += line(x, top, x, bottom, "axis");
    out += text(x - 24, a % 2 == 0 ? kTop + 6 : kTop + 22, "start",
                fitted(axes[a].name, static_cast<size_t>(2 * step / kCharacter) - 1));
    for (const auto& [place, label] : axes[a].labels) {
      labels +=
          text(x + 5, y_of(place) + 4, "start", fitted(label, static_cast<size_t>(step / kCharacter) - 2), "faint");
    }
  }
  std::vector<std::pair<std::string, size_t>> entries;
  for (const Thread& thread : threads) {
    entries.emplace_back(thread.label, thread.colour);
    std::string path;
    bool drawing = false;
    for (size_t a = 0; a < axes.size(); ++a) {
      if (thread.places[a]) {
        path += fmt::format("{}{:.1f} {:.1f} ", drawing ? "L" : "M", 30 + step * static_cast<double>(a),
                            y_of(*thread.places[a]));
      }
      drawing = thread.places[a].has_value();
    }
    out += open_method(thread.colour) +
           fmt::format("<path class=\"mark line stroke\" d=\"{}\"><title>{}</title></path>\n</g>\n", path,
                       escape_html(thread.tip.empty() ? thread.label : thread.tip));
  }
  return out + labels + legend(kLegend, entries) + "</svg>\n";
}

}  // namespace peftlab::report
