#include "report/svg.h"

#include "report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

namespace peftlab::report {
namespace {

constexpr double kWidth = 760, kHeight = 360;
constexpr double kLeft = 70, kTop = 34, kBottom = 46, kRight = 30;

/// Colours that people who do not see red and green alike can tell apart: Okabe and Ito, "Color Universal Design",
/// 2008.
constexpr std::array<const char*, 8> kColours{"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                              "#e69f00", "#56b4e9", "#000000", "#999999"};

const char* colour(size_t i) {
  return kColours[i % kColours.size()];
}

/// What maps a range of numbers to a range of pixels.
struct Scale {
  double low, high, from, to;
  double operator()(double value) const { return from + (value - low) / (high - low) * (to - from); }
};

/// The range of all numbers added, widened a little, never empty.
struct Range {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  void add(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
  void widen(double share) {
    const double room = high > low ? (high - low) * share : std::max(std::abs(high) * share, 1e-9);
    low -= room;
    high += room;
  }
};

std::string open_svg(const std::string& title, double height) {
  return fmt::format(
      "<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}\">\n<title>{}</title>\n"
      "<text class=\"title\" x=\"{}\" y=\"20\">{}</text>\n",
      kWidth, height, escape_html(title), escape_html(title), kLeft, escape_html(title));
}

std::string line(double x1, double y1, double x2, double y2, const std::string& attributes) {
  return fmt::format("<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" {}/>\n", x1, y1, x2, y2,
                     attributes);
}

std::string text(double x, double y, const std::string& anchor, const std::string& content) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escape_html(content));
}

std::string tick_text(double value) {
  return fmt::format("{:.6g}", std::abs(value) < 1e-12 ? 0.0 : value);
}

std::string y_axis(const Scale& y, const std::string& name) {
  std::string out;
  for (const double tick : ticks(y.low, y.high)) {
    if (tick < y.low || tick > y.high) continue;
    out += line(kLeft, y(tick), kWidth - kRight, y(tick), "class=\"grid\"");
    out += text(kLeft - 6, y(tick) + 4, "end", tick_text(tick));
  }
  if (!name.empty()) {
    out += fmt::format("<text transform=\"translate(14 {:.1f}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n",
                       (y.from + y.to) / 2, escape_html(name));
  }
  return out;
}

std::string interval(double x, double low, double high, const Scale& y) {
  return line(x, y(low), x, y(high), "class=\"interval\"") + line(x - 5, y(low), x + 5, y(low), "class=\"interval\"") +
         line(x - 5, y(high), x + 5, y(high), "class=\"interval\"");
}

using Legend = std::vector<std::pair<std::string, size_t>>;  // label, colour

std::string legend_text(const Legend& entries, double top) {
  std::string out;
  double y = top;
  for (const auto& [label, index] : entries) {
    out +=
        fmt::format("<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"12\" fill=\"{}\"/>\n", kLeft, y - 10, colour(index));
    out += text(kLeft + 18, y, "start", label);
    y += 18;
  }
  return out;
}

/// Ten to the power `n`: "1", "10", "100", "1k", ..., "1G", ...
std::string power_text(int n) {
  constexpr std::array<const char*, 6> kSuffixes{"", "k", "M", "G", "T", "P"};
  if (n < 0 || n >= 18) return fmt::format("1e{}", n);
  const auto i = static_cast<size_t>(n);
  return "1" + std::string(i % 3, '0') + kSuffixes[i / 3];
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

std::string curve_chart(const std::string& title, const std::string& x_name, const std::vector<Curve>& curves) {
  Range xs, ys;
  for (const Curve& curve : curves) {
    for (size_t i = 0; i < curve.x.size(); ++i) {
      xs.add(curve.x[i]);
      ys.add(curve.low[i]);
      ys.add(curve.high[i]);
    }
  }
  if (!(xs.low <= xs.high)) return "";
  if (xs.low == xs.high) xs.widen(0.5);
  ys.widen(0.05);
  const Scale x{xs.low, xs.high, kLeft, kWidth - kRight};
  const Scale y{ys.low, ys.high, kHeight - kBottom, kTop};
  const double height = kHeight + 18 * static_cast<double>(curves.size());
  std::string out = open_svg(title, height) + y_axis(y, "");
  for (const double tick : ticks(x.low, x.high, 6)) {
    if (tick >= x.low && tick <= x.high) out += text(x(tick), kHeight - kBottom + 18, "middle", tick_text(tick));
  }
  out += text((x.from + x.to) / 2, kHeight - kBottom + 36, "middle", x_name);
  Legend legend;
  for (const Curve& curve : curves) {
    legend.emplace_back(curve.label, curve.colour);
    std::string mean, band;
    for (size_t i = 0; i < curve.x.size(); ++i) {
      mean += fmt::format("{:.1f},{:.1f} ", x(curve.x[i]), y(curve.mean[i]));
      band += fmt::format("{:.1f},{:.1f} ", x(curve.x[i]), y(curve.high[i]));
    }
    for (size_t i = curve.x.size(); i-- > 0;) band += fmt::format("{:.1f},{:.1f} ", x(curve.x[i]), y(curve.low[i]));
    out += fmt::format("<polygon points=\"{}\" fill=\"{}\" opacity=\"0.15\"/>\n", band, colour(curve.colour));
    out += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"1.5\"/>\n", mean,
                       colour(curve.colour));
  }
  return out + legend_text(legend, kHeight + 6) + "</svg>\n";
}

std::string bar_chart(const std::string& title, const std::vector<Bar>& bars) {
  if (bars.empty()) return "";
  Range ys;
  ys.add(0.0);
  for (const Bar& bar : bars) {
    ys.add(bar.value);
    if (bar.low) ys.add(*bar.low);
    if (bar.high) ys.add(*bar.high);
  }
  // A bar stands on zero: its length is its number.
  const double low = ys.low, high = ys.high;
  ys.widen(0.05);
  if (low >= 0) ys.low = 0;
  if (high <= 0) ys.high = 0;
  const Scale y{ys.low, ys.high, kHeight - kBottom, kTop};
  const double height = kHeight + 18 * static_cast<double>(bars.size());
  std::string out = open_svg(title, height) + y_axis(y, "");
  const double step = (kWidth - kLeft - kRight) / static_cast<double>(bars.size());
  Legend legend;
  for (size_t i = 0; i < bars.size(); ++i) {
    const Bar& bar = bars[i];
    legend.emplace_back(fmt::format("{}: {:.6g}", bar.label, bar.value), bar.colour);
    const double x = kLeft + step * (static_cast<double>(i) + 0.5);
    const double width = std::min(60.0, step * 0.7);
    const double top = std::min(y(0.0), y(bar.value));
    out += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{:.1f}\" fill=\"{}\"/>\n",
                       x - width / 2, top, width, std::abs(y(0.0) - y(bar.value)), colour(bar.colour));
    if (bar.low && bar.high) out += interval(x, *bar.low, *bar.high, y);
  }
  out += line(kLeft, y(0.0), kWidth - kRight, y(0.0), "class=\"axis\"");
  return out + legend_text(legend, kHeight - 12) + "</svg>\n";
}

std::string scatter_chart(const std::string& title, const std::string& x_name, const std::string& y_name,
                          const std::vector<Mark>& marks) {
  Range xs, ys;
  for (const Mark& mark : marks) {
    xs.add(std::log10(mark.x));
    ys.add(mark.y);
    if (mark.low) ys.add(*mark.low);
    if (mark.high) ys.add(*mark.high);
  }
  if (!(xs.low <= xs.high)) return "";
  xs.low = std::floor(xs.low);
  xs.high = std::max(std::ceil(xs.high), xs.low + 1);
  ys.widen(0.08);
  const Scale x{xs.low, xs.high, kLeft, kWidth - kRight};
  const Scale y{ys.low, ys.high, kHeight - kBottom, kTop};
  const double height = kHeight + 18 * static_cast<double>(marks.size());
  std::string out = open_svg(title, height) + y_axis(y, y_name);
  for (double power = xs.low; power <= xs.high; ++power) {
    out += line(x(power), kTop, x(power), kHeight - kBottom, "class=\"grid\"");
    out += text(x(power), kHeight - kBottom + 18, "middle", power_text(static_cast<int>(power)));
  }
  out += text((x.from + x.to) / 2, kHeight - kBottom + 36, "middle", x_name);
  Legend legend;
  for (const Mark& mark : marks) {
    legend.emplace_back(mark.label, mark.colour);
    const double at = x(std::log10(mark.x));
    if (mark.low && mark.high) out += interval(at, *mark.low, *mark.high, y);
    out +=
        fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"6\" fill=\"{}\"/>\n", at, y(mark.y), colour(mark.colour));
  }
  return out + legend_text(legend, kHeight + 6) + "</svg>\n";
}

}  // namespace peftlab::report
