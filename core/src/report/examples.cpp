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

Predictions read(const store::Store& store, const store::RunDetail& detail) {
  const auto& artifacts = detail.artifacts;
  const auto found =
      std::find_if(artifacts.begin(), artifacts.end(), [](const auto& artifact) { return artifact.name == kFile; });
  if (found == artifacts.end()) {
    throw ConfigError("run " + detail.run.uuid + " kept no predictions on test: it is " + detail.run.state +
                      ", or its experiment has no test data or no [[metric]]");
  }
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

}  // namespace peftlab::report
