// The page's figures: quality, differences, curves, quality against cost, costs.

#include "report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace peftlab::report {
namespace {

std::string figure(const std::string& svg) { return svg.empty() ? "" : "<figure>" + svg + "</figure>\n"; }

std::string interval_text(const std::optional<double>& low, const std::optional<double>& high) {
  return low && high ? fmt::format("\n95 % interval {} to {}", *low, *high) : "\nno interval below two seeds";
}

std::string half_width_text(double mean, const std::optional<double>& low, bool sign) {
  const std::string text = sign ? fmt::format("{:+.4g}", mean) : fmt::format("{:.4g}", mean);
  return low ? text + fmt::format(" ± {:.3g}", mean - *low) : text;
}

std::string quality(const Comparison& comparison, const MetricInfo& metric) {
  std::vector<Bar> bars, differences;
  for (size_t i = 0; i < comparison.methods.size(); ++i) {
    const MethodResult& method = comparison.methods[i];
    const auto found = method.metrics.find(metric.name);
    if (found == method.metrics.end()) continue;
    const store::CompareRow& test = found->second.test;
    bars.push_back({method.label, test.mean, test.ci95_low, test.ci95_high, i,
                    fmt::format("{}: {}", method.label, test.mean) + interval_text(test.ci95_low, test.ci95_high) +
                        fmt::format("\nn = {}", test.n),
                    half_width_text(test.mean, test.ci95_low, false), method.is_baseline});
    const auto& against = found->second.against;
    if (!against || !against->mean_difference) continue;
    differences.push_back({method.label, *against->mean_difference, against->ci95_low, against->ci95_high, i,
                           fmt::format("{} less {}: {}", method.label, against->baseline, *against->mean_difference) +
                               interval_text(against->ci95_low, against->ci95_high) +
                               fmt::format("\nn = {} pairs", against->n),
                           half_width_text(*against->mean_difference, against->ci95_low, true), false});
  }
  std::string out = figure(dot_chart(fmt::format("{} on test ({} is better), with 95 % intervals", metric.name,
                                                 metric.higher_is_better ? "higher" : "lower"),
                                     bars));
  return out + figure(dot_chart(fmt::format("{}: difference to {}, paired by seed, with 95 % intervals", metric.name,
                                            comparison.baseline),
                                differences, true));
}

struct CostKind {
  const char* name;   ///< that of Front
  const char* title;  ///< of the bars
  const char* axis;
  const char* against;
};
constexpr CostKind kCosts[] = {
    {"training", "Training time, median over seeds", "training seconds", "training time"},
    {"memory", "Peak memory of training, greatest over seeds", "peak memory, bytes", "peak memory"},
    {"trainable", "Trainable parameters", "trainable parameters", "trained parameters"}};

std::optional<double> cost_of(const MethodResult& method, const std::string& name) {
  if (name == "training") return method.train_seconds;
  const std::optional<int64_t>& count = name == "memory" ? method.peak_memory_bytes : method.trainable_parameters;
  return count ? std::optional(static_cast<double>(*count)) : std::nullopt;
}

std::string cost_text(double cost, const std::string& name) {
  if (name == "training") return seconds_text(cost);
  return name == "memory" ? bytes_text(static_cast<int64_t>(cost)) : count_text(static_cast<int64_t>(cost));
}

std::string trade_off(const Comparison& comparison, const CostKind& kind) {
  const auto front = std::find_if(comparison.fronts.begin(), comparison.fronts.end(),
                                  [&](const Front& one) { return one.cost == kind.name; });
  std::vector<Mark> marks;
  for (size_t i = 0; i < comparison.methods.size(); ++i) {
    const MethodResult& method = comparison.methods[i];
    const auto found = method.metrics.find(comparison.primary);
    const std::optional<double> cost = cost_of(method, kind.name);
    if (found == method.metrics.end() || !cost) continue;
    const store::CompareRow& test = found->second.test;
    const bool unbeaten = front != comparison.fronts.end() &&
                          std::find(front->labels.begin(), front->labels.end(), method.label) != front->labels.end();
    marks.push_back(
        {method.label, *cost, test.mean, test.ci95_low, test.ci95_high, i,
         fmt::format("{}\n{}: {}", method.label, comparison.primary, test.mean) +
             interval_text(test.ci95_low, test.ci95_high) +
             fmt::format("\n{}: {}\nn = {}{}", kind.axis, *cost, test.n, unbeaten ? "\nunbeaten in both" : ""),
         unbeaten});
  }
  return figure(scatter_chart(fmt::format("{} against {}", comparison.primary, kind.against), kind.axis,
                              comparison.primary, marks));
}

std::string costs(const Comparison& comparison, const CostKind& kind) {
  std::vector<Bar> bars;
  for (size_t i = 0; i < comparison.methods.size(); ++i) {
    const MethodResult& method = comparison.methods[i];
    const std::optional<double> cost = cost_of(method, kind.name);
    if (!cost) continue;
    const std::string text = cost_text(*cost, kind.name);
    bars.push_back({method.label,
                    *cost,
                    {},
                    {},
                    i,
                    fmt::format("{}\n{}: {}\nn = {}", method.label, kind.axis, *cost, method.n_finished),
                    text,
                    method.is_baseline});
  }
  return figure(bar_chart(kind.title, bars));
}

/// Whether x is better seen logarithmically: 0.0003, 0.001, 0.003.
bool spans_powers(const std::vector<Curve>& curves) {
  double least = std::numeric_limits<double>::infinity(), most = 0.0;
  for (const Curve& curve : curves) {
    least = std::min(least, curve.x.front());
    most = std::max(most, curve.x.back());
  }
  return least > 0 && most >= 20 * least;
}

}  // namespace

std::string render_figures(const Page& page) {
  const Comparison& comparison = page.comparison;
  std::string out;
  if (!comparison.metrics.empty())
    out += "<h2 id=\"quality\">Quality</h2>\n" + quality(comparison, comparison.metrics.front());
  std::string others;
  for (size_t i = 1; i < comparison.metrics.size(); ++i) others += quality(comparison, comparison.metrics[i]);
  if (!others.empty()) {
    out += fmt::format("<details><summary>The other {} metrics</summary>\n{}</details>\n",
                       comparison.metrics.size() - 1, others);
  }
  if (!page.curves.empty() || !page.validation_curves.empty()) {
    out +=
        "<h2 id=\"learning\">Learning curves</h2>\n<p class=\"note\">Lines are means over seeds; a band reaches from "
        "the least to the greatest of them. Training losses are means over parts of a thirtieth of the steps.</p>\n";
    out += figure(
        curve_chart("Training loss: mean over seeds, band from least to greatest", "optimizer step", page.curves));
    out += figure(curve_chart("Validation loss: mean over seeds, band from least to greatest", "optimizer step",
                              page.validation_curves));
  }
  if (!page.searches.empty()) {
    out += "<h2 id=\"search\">Search</h2>\n<p class=\"note\">What [tune] tried, the same for every method.</p>\n";
  }
  for (const SearchCurves& search : page.searches) {
    out += figure(curve_chart(fmt::format("{} on validation", comparison.primary), search.key, search.curves,
                              spans_powers(search.curves)));
  }
  std::string trades, bars;
  for (const CostKind& kind : kCosts) {
    trades += trade_off(comparison, kind);
    bars += costs(comparison, kind);
  }
  if (!trades.empty()) {
    out +=
        "<h2 id=\"trade\">Quality against cost</h2>\n<p class=\"note\">The dashed steps join the methods that none "
        "beats in the mean and the cost at once.</p>\n" +
        trades;
  }
  if (!bars.empty()) out += "<h2 id=\"cost\">Cost</h2>\n" + bars;
  return out;
}

}  // namespace peftlab::report
