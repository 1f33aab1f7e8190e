#include "engine/commands.h"
#include "engine/model.h"
#include "evaluate/judge.h"

#include <algorithm>

namespace peftlab::cli {

int eval_command(const Words& words) {
  ModelOptions model;
  DataOptions data;
  std::vector<std::string> metrics, settings;
  int64_t max_new_tokens = evaluate::GenerationOptions{}.max_new_tokens;
  auto format = report::Format::json;
  CommandLine line(
      "eval --model DIR --data FILE",
      "Scores a model on a data file, with or without an adapter. `loss` is always among the scores, and\n"
      "`accuracy` where the answers are classes. n_items counts examples. How a score was made (sacreBLEU's\n"
      "signature) is said on standard error.",
      "peftlab eval --model models/base --adapter lora --data test.csv --metric bleu --set lowercase=true");
  model.declare(line);
  model.declare_type(line);
  data.declare(line, "the examples");
  line.repeated_option("metric", &metrics, "NAME", "a metric plugin, or loss; may be given several times")
      .repeated_option("set", &settings, "METRIC.KEY=VALUE", "an option of a metric; KEY=VALUE where there is one")
      .option("max-new-tokens", &max_new_tokens, "N", "the most tokens of an answer, for metrics that look at answers")
      .format_option(&format);
  if (!line.parse(words)) return 0;
  line.require("data");
  data.check();
  check_at_least("max-new-tokens", max_new_tokens, 1);

  const auto registry = open_registry();
  std::erase(metrics, "loss");
  auto judges = make_metrics(metrics, settings, registry);
  auto session = model.open(registry);
  const auto dataset = data.open(session, registry);
  evaluate::JudgeOptions options{.batch_size = data.batch_size, .max_length = data.max_length, .generation = {}};
  options.generation.max_new_tokens = max_new_tokens;
  evaluate::ModelJudge judge(session, *dataset, options);
  if (judge.classifies() && std::find(metrics.begin(), metrics.end(), "accuracy") == metrics.end()) {
    judges.insert(judges.begin(), std::move(make_metrics({"accuracy"}, {}, registry).front()));
  }
  print_scores(evaluate::scores(judge, judges), format);
  return 0;
}

}  // namespace peftlab::cli
