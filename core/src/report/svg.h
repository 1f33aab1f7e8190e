#pragma once

/// \file
/// Three kinds of charts as SVG text: they print, need no script and can be tested as text.

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::report {

/// A line with a band around it; all four lists are as long, x ascending, every number finite. `colour` counts the
/// methods, so that one has the same colour in every chart.
struct Curve {
  std::string label;
  std::vector<double> x, mean, low, high;
  size_t colour = 0;
};

/// A bar with its interval, if there is one.
struct Bar {
  std::string label;
  double value = 0.0;
  std::optional<double> low, high;
  size_t colour = 0;
};

/// A point with an interval of its height, if there is one; x > 0.
struct Mark {
  std::string label;
  double x = 0.0, y = 0.0;
  std::optional<double> low, high;
  size_t colour = 0;
};

/// Each returns one <svg> element, or nothing if there is nothing to draw.
std::string curve_chart(const std::string& title, const std::string& x_name, const std::vector<Curve>& curves);
std::string bar_chart(const std::string& title, const std::vector<Bar>& bars);
/// x is logarithmic.
std::string scatter_chart(const std::string& title, const std::string& x_name, const std::string& y_name,
                          const std::vector<Mark>& marks);

/// Round numbers 1, 2, 5 times a power of ten that cover [low, high] with about `wanted` steps.
std::vector<double> ticks(double low, double high, int wanted = 5);

}  // namespace peftlab::report
