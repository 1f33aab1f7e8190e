#include "engine/commands.h"
#include "engine/model.h"
#include "evaluate/judge.h"
#include "evaluate/text_lines.h"

#include <peftlab/error.h>

#include <fmt/format.h>

namespace peftlab::cli {

int score_command(const Words& words) {
  std::string predictions_file, references_file;
  std::vector<std::string> metrics, settings;
  auto format = report::Format::json;
  CommandLine line(
      "score --metric NAME --predictions FILE --references FILE",
      "Computes a metric over JSON lines: {\"prediction\": text} in one file, {\"reference\": text} or\n"
      "{\"references\": [text, ...]} in the other, line by line. How a score was made is said on standard error.",
      "peftlab score --metric bleu --predictions p.jsonl --references r.jsonl --set tokenize=zh");
  line.repeated_option("metric", &metrics, "NAME", "a metric plugin; may be given several times")
      .required_option("predictions", &predictions_file, "FILE", "JSON lines with `prediction`")
      .required_option("references", &references_file, "FILE", "JSON lines with `reference` or `references`")
      .repeated_option("set", &settings, "KEY=VALUE",
                       "an option of the metric; METRIC.KEY=VALUE where there are several")
      .format_option(&format);
  if (!line.parse(words)) return 0;
  line.require("metric");

  const auto registry = open_registry();
  const auto made = make_metrics(metrics, settings, registry);
  auto predictions = evaluate::read_predictions(predictions_file);
  auto references = evaluate::read_references(references_file);
  if (predictions.size() != references.size()) {
    throw FormatError(fmt::format("{} has {} lines, {} has {}: they must belong together", predictions_file,
                                  predictions.size(), references_file, references.size()));
  }
  evaluate::TextJudge judge(std::move(predictions), std::move(references));
  std::vector<Score> scores;
  for (const auto& metric : made) {
    for (Score& score : metric->compute(judge)) scores.push_back(std::move(score));
  }
  print_scores(scores, format);
  return 0;
}

}  // namespace peftlab::cli
