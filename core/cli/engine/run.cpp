#include "attach/session.h"
#include "command_line.h"
#include "engine/commands.h"
#include "report/comparison.h"
#include "run/experiment.h"
#include "store/store.h"
#include "support/interrupt.h"

#include <peftlab/error.h>

#include <unistd.h>

#include <charconv>
#include <iostream>
#include <sstream>

namespace peftlab::cli {
namespace {

/// "0,1,2" -> {0, 1, 2}.
std::vector<int64_t> parse_seeds(const std::string& text) {
  std::vector<int64_t> seeds;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, ',');) {
    int64_t seed = 0;
    const auto [end, error] = std::from_chars(part.data(), part.data() + part.size(), seed);
    if (error != std::errc() || end != part.data() + part.size() || seed < 0) {
      throw ConfigError("--seeds: `" + part + "` is no natural number; wanted a list such as 0,1,2");
    }
    seeds.push_back(seed);
  }
  return seeds;
}

/// "auto" -> 0.
int parse_jobs(const std::string& text) {
  if (text == "auto") return 0;
  int jobs = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), jobs);
  if (error != std::errc() || end != text.data() + text.size() || jobs < 1) {
    throw ConfigError("--jobs: `" + text + "` is neither a number from 1 on nor `auto`");
  }
  return jobs;
}

bool is_terminal() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) && kind && std::string(kind) != "dumb";
}

}  // namespace

int run_command(const Words& words) {
  std::filesystem::path folder;
  std::string file, seeds, jobs = "1";
  run::RunOptions options;
  bool plan = false, quiet = false;
  CommandLine line(
      "run FILE",
      "Runs the comparison an experiment file describes: every method with every seed, each run in a process of\n"
      "its own. Only what is missing is made; what was interrupted goes on. Ends with the comparison table.",
      "peftlab run experiments/compare.toml\n"
      "peftlab run experiments/compare.toml --only 'lora*' --seeds 0 --set train.steps=50");
  line.operand("FILE", &file)
      .store_option(&folder)
      .flag("plan", &plan, "only print the label, plugins and seed of each run")
      .repeated_option("set", &options.overrides, "KEY=VALUE", "change a key of the file, such as train.steps=50")
      .plain_option("only", &options.only, "GLOB", "only methods whose label matches the pattern")
      .plain_option("seeds", &seeds, "LIST", "only these seeds, such as 0,1")
      .option("jobs", &jobs, "N|auto",
              "runs made at once, each with its share of the cores; auto: as many as a short measurement finds best")
      .option("device", &options.device, "cpu|cuda|auto", "where runs are made")
      .flag("quiet", &quiet, "no progress, only the table");
  if (!line.parse(words)) return 0;
  options.jobs = parse_jobs(jobs);
  if (line.given("seeds")) options.seeds = parse_seeds(seeds);
  options.style = quiet           ? run::Bars::Style::quiet
                  : is_terminal() ? run::Bars::Style::terminal
                                  : run::Bars::Style::lines;

  const registry::Registry registry(registry::Registry::default_folders());
  if (plan) {
    print(run::plan_of(file, registry, options));
    return 0;
  }
  attach::choose_device(options.device);  // said now rather than by every worker
  try {
    const auto summary = run::run_experiment(file, folder, registry, options, std::cerr);
    const auto store = store::Store::open(folder, store::Mode::read_only);
    print(report::render_terminal(report::comparison(store, summary.experiment)));
    return summary.failed > 0 ? 1 : 0;
  } catch (const Interrupted& stopped) {
    note("interrupted; the same command goes on from here");
    return stopped.exit_code();
  }
}

}  // namespace peftlab::cli
