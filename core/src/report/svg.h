#pragma once

/// \file
/// Figures as SVG text: they print, need no script and can be tested as text.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace peftlab::report {

/// A line with a band around it; all lists are as long, x ascending, every number finite. `colour` counts the methods,
/// so that one has the same colour in every figure.
struct Curve {
  std::string label;
  std::vector<double> x, mean, low, high;
  size_t colour = 0;
  std::vector<int64_t> n = {};  ///< runs behind each point
};

/// A row of a figure with one row a method: a number with its interval, if there is one.
struct Bar {
  std::string label;
  double value = 0.0;
  std::optional<double> low, high;
  size_t colour = 0;
  std::string tip = {};   ///< the exact values, in words
  std::string text = {};  ///< the value as written at the right
  bool is_baseline = false;
};

/// A point with an interval of its height, if there is one.
struct Mark {
  std::string label;
  double x = 0.0, y = 0.0;
  std::optional<double> low, high;
  size_t colour = 0;
  std::string tip = {};
  bool on_front = false;
};

/// An axis of parallel coordinates: the places of its values from 0 (below) to 1, and what is written at some of them.
struct Axis {
  std::string name;
  std::vector<std::pair<double, std::string>> labels;
};
/// A line over all axes; an absent place leaves it out there.
struct Thread {
  std::string label;
  std::vector<std::optional<double>> places;
  size_t colour = 0;
  std::string tip = {};
};

/// Each returns one <svg> element, or nothing if there is nothing to draw.
/// `logarithmic`: of x, which is > 0 then.
std::string curve_chart(const std::string& title, const std::string& x_name, const std::vector<Curve>& curves,
                        bool logarithmic = false);
/// Dots with whiskers, a row each. With `zero`, a line stands there, and the range has it.
std::string dot_chart(const std::string& title, const std::vector<Bar>& bars, bool zero = false);
/// Bars from zero; where positive values span more than a factor of 100, logarithmic from the power of ten below the
/// least, which the title then says. Values of 0 have no bar there.
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);
/// x is logarithmic, which its name then says, where positive values span a factor of 100 or more; marks at x = 0 are
/// then drawn at the left edge and said to be there. The marks on the front are joined by steps.
std::string scatter_chart(const std::string& title, const std::string& x_name, const std::string& y_name,
                          const std::vector<Mark>& marks);
std::string parallel_chart(const std::string& title, const std::vector<Axis>& axes, const std::vector<Thread>& threads);

/// Round numbers 1, 2, 5 times a power of ten that cover [low, high] with about `wanted` steps.
std::vector<double> ticks(double low, double high, int wanted = 5);

}  // namespace peftlab::report
