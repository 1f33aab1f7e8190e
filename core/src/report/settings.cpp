// What the methods' configurations differ in, and the score of every seed.

#include "report/html.h"
#include "report/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

namespace peftlab::report {
namespace {

using Flat = std::map<std::string, Value>;

/// A list of methods is told by their plugins: lora's rank is "lora.rank".
void flatten(const Table& table, const std::string& prefix, Flat& out) {
  for (const auto& [key, value] : table) {
    if (const Table* inner = value.get_if<Table>()) {
      flatten(*inner, key == "options" ? prefix : prefix + key + ".", out);
      continue;
    }
    const List* list = value.get_if<List>();
    if (key != "methods" || !list) {
      out[prefix + key] = value;
      continue;
    }
    for (const Value& method : *list) {
      const Value* plugin = method.find("plugin");
      const Value* options = method.find("options");
      const Table* inner = options ? options->get_if<Table>() : nullptr;
      if (!plugin || !inner) {
        out[prefix + key] = value;
        break;
      }
      const auto* name = plugin->get_if<std::string>();
      flatten(*inner, (name ? *name : to_json(*plugin)) + ".", out);
    }
  }
}

std::string text_of(const Value* value) {
  if (!value) return "-";
  const std::string* plain = value->get_if<std::string>();
  return plain ? *plain : to_json(*value);
}

std::optional<double> number_of(const Value* value) {
  if (!value) return std::nullopt;
  if (const auto* whole = value->get_if<int64_t>()) return static_cast<double>(*whole);
  const auto* real = value->get_if<double>();
  return real && std::isfinite(*real) ? std::optional(*real) : std::nullopt;
}

const Value* find(const Flat& flat, const std::string& key) {
  const auto found = flat.find(key);
  return found == flat.end() ? nullptr : &found->second;
}

const MetricResult* primary_of(const MethodResult& method, const std::string& primary) {
  const auto found = method.metrics.find(primary);
  return found == method.metrics.end() ? nullptr : &found->second;
}

/// An axis with one place a value, numbers in order before texts; the places of the methods go to `threads`.
Axis add_axis(const std::string& key, const std::vector<Flat>& configs, std::vector<Thread>& threads) {
  std::vector<const Value*> values;
  for (const Flat& config : configs) {
    const Value* value = find(config, key);
    const auto same = [&](const Value* other) { return *other == *value; };
    if (value && std::none_of(values.begin(), values.end(), same)) values.push_back(value);
  }
  std::stable_sort(values.begin(), values.end(), [](const Value* a, const Value* b) {
    const auto x = number_of(a), y = number_of(b);
    return x && y ? *x < *y : !x && !y ? text_of(a) < text_of(b) : x.has_value();
  });
  const auto place_of = [&](size_t i) {
    return values.size() < 2 ? 0.5 : static_cast<double>(i) / static_cast<double>(values.size() - 1);
  };
  Axis axis{key, {}};
  for (size_t i = 0; i < values.size(); ++i) {
    const bool room = values.size() <= 12 || i == 0 || i + 1 == values.size();
    if (room) axis.labels.emplace_back(place_of(i), text_of(values[i]));
  }
  for (size_t m = 0; m < configs.size(); ++m) {
    const Value* value = find(configs[m], key);
    std::optional<double> place;
    for (size_t i = 0; value && i < values.size(); ++i) {
      if (*values[i] == *value) place = place_of(i);
    }
    threads[m].places.push_back(place);
  }
  return axis;
}

std::string parallel(const Comparison& comparison, const std::vector<Flat>& configs,
                     const std::vector<std::string>& keys) {
  constexpr size_t kAxes = 6;
  std::vector<Thread> threads;
  double low = INFINITY, high = -INFINITY;
  for (size_t i = 0; i < comparison.methods.size(); ++i) {
    threads.push_back({comparison.methods[i].label, {}, i, comparison.methods[i].label});
    const MetricResult* result = primary_of(comparison.methods[i], comparison.primary);
    if (!result) continue;
    low = std::min(low, result->test.mean);
    high = std::max(high, result->test.mean);
  }
  if (!(low < high)) return "";
  std::vector<std::string> chosen = keys;
  if (chosen.size() > kAxes) chosen.resize(kAxes);
  std::vector<Axis> axes;
  for (const std::string& key : chosen) {
    axes.push_back(add_axis(key, configs, threads));
    for (size_t m = 0; m < configs.size(); ++m) threads[m].tip += "\n" + key + ": " + text_of(find(configs[m], key));
  }
  axes.push_back({comparison.primary, {{0.0, fmt::format("{:.4g}", low)}, {1.0, fmt::format("{:.4g}", high)}}});
  for (size_t m = 0; m < configs.size(); ++m) {
    const MetricResult* result = primary_of(comparison.methods[m], comparison.primary);
    threads[m].places.push_back(result ? std::optional((result->test.mean - low) / (high - low)) : std::nullopt);
    if (result)
      threads[m].tip += fmt::format("\n{}: {}\nn = {}", comparison.primary, result->test.mean, result->test.n);
  }
  std::string title = "Settings and " + comparison.primary;
  if (keys.size() > kAxes)
    title += fmt::format(": the first {} of the {} settings that differ and that all methods have", kAxes, keys.size());
  return parallel_chart(title, axes, threads);
}

}  // namespace

std::string render_settings(const Page& page) {
  const Comparison& comparison = page.comparison;
  std::vector<Flat> configs(comparison.methods.size());
  std::set<std::string> keys;
  for (size_t i = 0; i < configs.size(); ++i) {
    for (const store::RunDetail& detail : page.runs) {
      if (detail.run.label == comparison.methods[i].label) flatten(detail.config, "", configs[i]);
    }
    for (const auto& [key, value] : configs[i]) keys.insert(key);
  }
  std::vector<std::string> differing;
  for (const std::string& key : keys) {
    const bool same = std::all_of(configs.begin(), configs.end(), [&](const Flat& config) {
      const Value *a = find(config, key), *b = find(configs.front(), key);
      return a && b ? *a == *b : a == b;
    });
    if (!same && key != "label" && key != "is_baseline") differing.push_back(key);
  }
  if (differing.empty()) return "";
  std::string out = "<h2 id=\"settings\">Settings</h2>\n";
  // A line needs a place on every axis: only settings that all methods have are drawn.
  std::vector<std::string> drawn;
  for (const std::string& key : differing) {
    const auto has = [&](const Flat& config) { return config.contains(key); };
    if (std::all_of(configs.begin(), configs.end(), has)) drawn.push_back(key);
  }
  bool numbers = drawn.size() == 1;
  for (const Flat& config : configs) numbers = numbers && number_of(find(config, drawn.front()));
  std::string svg;
  if (numbers) {
    std::vector<Mark> marks;
    for (size_t i = 0; i < configs.size(); ++i) {
      const MetricResult* result = primary_of(comparison.methods[i], comparison.primary);
      if (!result) continue;
      const double x = *number_of(find(configs[i], drawn.front()));
      marks.push_back({comparison.methods[i].label, x, result->test.mean, result->test.ci95_low, result->test.ci95_high,
                       i,
                       fmt::format("{}\n{}: {}\n{}: {}\nn = {}", comparison.methods[i].label, drawn.front(), x,
                                   comparison.primary, result->test.mean, result->test.n),
                       false});
    }
    svg = scatter_chart(comparison.primary + " against " + drawn.front(), drawn.front(), comparison.primary, marks);
  } else if (!drawn.empty()) {
    svg = parallel(comparison, configs, drawn);
  }
  if (!svg.empty()) out += "<figure>" + svg + "</figure>\n";
  HtmlTable table{
      "The settings in which the methods differ; all others are the same", {"setting"}, {false}, {}, true, "", 120};
  for (const MethodResult& method : comparison.methods) {
    table.columns.push_back(method.label);
    table.right.push_back(false);
  }
  for (const std::string& key : differing) {
    std::vector<HtmlCell> row{{key, {}}};
    for (const Flat& config : configs) row.push_back({text_of(find(config, key)), number_of(find(config, key))});
    table.rows.push_back(std::move(row));
  }
  return out + html_table(table);
}

std::string render_seeds(const Page& page) {
  const Comparison& comparison = page.comparison;
  std::map<int64_t, std::map<std::string, double>> scores;
  for (const store::RunDetail& detail : page.runs) {
    if (detail.run.state != "finished") continue;
    for (const store::Score& score : detail.scores) {
      if (score.metric == comparison.primary && score.split == "test")
        scores[detail.run.seed][detail.run.label] = score.value;
    }
  }
  if (scores.empty()) return "";
  HtmlTable table{comparison.primary + " on test, one column a seed: differences are taken within columns",
                  {"method"},
                  {false},
                  {},
                  true,
                  "",
                  120};
  for (const auto& [seed, by_label] : scores) {
    table.columns.push_back(fmt::format("seed {}", seed));
    table.right.push_back(true);
  }
  for (const MethodResult& method : comparison.methods) {
    std::vector<HtmlCell> row{{method.label, {}}};
    for (const auto& [seed, by_label] : scores) {
      const auto found = by_label.find(method.label);
      const bool has = found != by_label.end();
      row.push_back(has ? HtmlCell{fmt::format("{:.5g}", found->second), found->second} : HtmlCell{"-", {}});
    }
    table.rows.push_back(std::move(row));
  }
  return "<h2 id=\"seeds\">Every seed</h2>\n" + html_table(table);
}

}  // namespace peftlab::report
