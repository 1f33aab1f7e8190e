#include "report/examples.h"

#include <peftlab/error.h>
#include <peftlab/value.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace peftlab::report {
namespace {

const std::string kFile = "predictions_test.jsonl";
const std::string kScore = "item/";

struct Predictions {
  std::vector<std::string> asked;                     ///< prompt and reference of each example
  std::map<std::string, std::vector<double>> scores;  ///< by metric, one an example
};

double number(const Value& value) {
  const auto* whole = value.get_if<int64_t>();
  return whole ? static_cast<double>(*whole) : *value.get_if<double>();
}

/// nullopt if the run kept none.
std::optional<Predictions> read_kept(const store::Store& store, const store::RunDetail& detail) {
  const auto& artifacts = detail.artifacts;
  const auto found =
      std::find_if(artifacts.begin(), artifacts.end(), [](const auto& artifact) { return artifact.name == kFile; });
  if (found == artifacts.end()) return std::nullopt;
  Predictions predictions;
  std::istringstream lines(store.get_object(found->sha256));
  for (std::string line; std::getline(lines, line);) {
    const Value example = parse_json(line, kFile);
    predictions.asked.push_back(to_json(*example.find("prompt")) + to_json(*example.find("reference")));
    for (const auto& [key, value] : *example.get_if<Table>()) {
      if (key.starts_with(kScore)) predictions.scores[key.substr(kScore.size())].push_back(number(value));
    }
  }
  return predictions;
}

Predictions read(const store::Store& store, const store::RunDetail& detail) {
  auto predictions = read_kept(store, detail);
  if (predictions) return *std::move(predictions);
  throw ConfigError("run " + detail.run.uuid + " kept no predictions on test: it is " + detail.run.state +
                    ", or its experiment has no test data or no [[metric]]");
}

using BySeed = std::map<int64_t, Predictions>;

/// The predictions of the current methods' newest finished runs, by label; labels in the file's order.
std::vector<std::pair<std::string, BySeed>> predictions_of(const store::Store& store, const std::string& experiment) {
  std::vector<std::pair<std::string, BySeed>> found;
  for (const store::RunRow& run : store.runs(experiment)) {
    if (!run.is_compared() || run.state != "finished") continue;
    if (found.empty() || found.back().first != run.label) found.push_back({run.label, {}});
    if (auto kept = read_kept(store, store.run(run.uuid))) found.back().second[run.seed] = *std::move(kept);
  }
  return found;
}

/// One metric of two methods: the mean over their common seeds of each example's difference.
struct Differences {
  int64_t n_seeds = 0;
  std::vector<double> means;
};

Differences differences_of(const BySeed& first, const BySeed& second, const std::string& metric) {
  Differences found;
  for (const auto& [seed, mine] : first) {
    const auto other = second.find(seed);
    if (other == second.end() || other->second.asked != mine.asked) continue;
    const auto a = mine.scores.find(metric), b = other->second.scores.find(metric);
    if (a == mine.scores.end() || b == other->second.scores.end() || a->second.size() != b->second.size()) continue;
    found.means.resize(a->second.size());
    for (size_t i = 0; i < found.means.size(); ++i) found.means[i] += a->second[i] - b->second[i];
    ++found.n_seeds;
  }
  for (double& mean : found.means) mean /= static_cast<double>(found.n_seeds);
  return found;
}

bool is_right_or_wrong(const std::vector<double>& scores) {
  return std::all_of(scores.begin(), scores.end(), [](double score) { return score == 0 || score == 1; });
}

}  // namespace

std::vector<ExampleTest> example_tests(const store::Store& store, const std::string& a, const std::string& b) {
  const Predictions first = read(store, store.run(a)), second = read(store, store.run(b));
  if (first.asked != second.asked) {
    throw ConfigError("the runs answered other examples: " + std::to_string(first.asked.size()) + " and " +
                      std::to_string(second.asked.size()) + " of them, not the same prompts and references in order");
  }
  std::vector<ExampleTest> tests;
  for (const auto& [metric, scores] : first.scores) {
    const auto other = second.scores.find(metric);
    if (other == second.scores.end() || other->second.size() != scores.size()) continue;
    std::vector<double> differences;
    for (size_t i = 0; i < scores.size(); ++i) differences.push_back(scores[i] - other->second[i]);
    const auto bootstrap = statistics::paired_bootstrap(differences);
    if (!bootstrap) continue;
    ExampleTest test{metric, *bootstrap, {}, {}, {}};
    if (is_right_or_wrong(scores) && is_right_or_wrong(other->second)) {
      test.only_first = std::count(differences.begin(), differences.end(), 1.0);
      test.only_second = std::count(differences.begin(), differences.end(), -1.0);
      test.mcnemar = statistics::mcnemar(*test.only_first, *test.only_second);
    }
    tests.push_back(test);
  }
  return tests;
}

std::vector<MethodExamples> method_example_tests(const store::Store& store, const std::string& experiment) {
  const std::string name = store.resolve_experiment(experiment);
  std::string baseline;
  for (const store::ExperimentRow& row : store.experiments(name)) baseline = row.baseline;
  if (baseline.empty()) throw ConfigError("experiment \"" + name + "\" has no baseline to compare examples with");
  std::map<std::string, bool> higher_is_better;
  for (const store::CompareRow& row : store.compare(name)) higher_is_better[row.metric] = row.higher_is_better;

  const auto methods = predictions_of(store, name);
  const auto base = std::find_if(methods.begin(), methods.end(), [&](const auto& m) { return m.first == baseline; });
  if (base == methods.end() || base->second.empty()) return {};
  std::vector<MethodExamples> tests;
  for (const auto& [metric, scores] : base->second.begin()->second.scores) {
    std::vector<double> p;
    const size_t first = tests.size();
    for (const auto& [label, runs] : methods) {
      if (label == baseline) continue;
      const Differences differences = differences_of(runs, base->second, metric);
      const auto bootstrap = statistics::paired_bootstrap(differences.means);
      if (!bootstrap) continue;
      tests.push_back({label, baseline, metric, differences.n_seeds, *bootstrap, 1.0, "no clear difference"});
      p.push_back(bootstrap->p);
    }
    const auto adjusted = statistics::holm(p);
    for (size_t i = 0; i < p.size(); ++i) {
      MethodExamples& test = tests[first + i];
      test.p_holm = adjusted[i];
      if (adjusted[i] >= 0.05) continue;
      test.verdict = (test.difference.mean > 0) == higher_is_better[metric] ? "better" : "worse";
    }
  }
  return tests;
}

}  // namespace peftlab::report
