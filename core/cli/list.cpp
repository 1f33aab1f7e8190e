#include "command_line.h"
#include "report/comparison.h"
#include "rows.h"
#include "store/store.h"

namespace peftlab::cli {
namespace {

using report::Format;

/// For eyes: what tells runs apart, as short as `show` takes it, and why one failed.
std::string for_eyes(const std::vector<store::RunRow>& runs, Format format) {
  constexpr size_t kShortUuid = 13;
  std::vector<std::vector<std::string>> rows;
  for (const store::RunRow& run : runs) {
    rows.push_back({run.uuid.substr(0, kShortUuid), run.experiment, run.label, run.method, std::to_string(run.seed),
                    std::to_string(run.attempt), run.state,
                    run.trainable_parameters ? report::count_text(*run.trainable_parameters) : "",
                    run.train_seconds ? report::seconds_text(*run.train_seconds) : "",
                    run.peak_memory_bytes ? report::bytes_text(*run.peak_memory_bytes) : "", time_text(run.created_ms),
                    run.state == "failed" ? run.error_kind + ": " + first_line(run.error_text) : ""});
  }
  return report::render_text_table(
      {"run", "experiment", "label", "method", "seed", "attempt", "state", "trainable", "training", "memory",
       "created (UTC)", "reason"},
      rows, {false, false, false, false, true, true, false, true, true, true, false, false}, format);
}

}  // namespace

int list_command(const Words& words) {
  std::filesystem::path folder;
  std::string experiment;
  Format format = Format::table;
  CommandLine line("list [EXPERIMENT]", "Lists the runs in the store, or those of one experiment.",
                   "peftlab list\npeftlab list emoji-captions --format json");
  line.optional_operand("EXPERIMENT", &experiment).store_option(&folder).format_option(&format);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  const auto runs = store.runs(experiment.empty() ? "" : store.resolve_experiment(experiment));
  const bool eyes = format == Format::table || format == Format::md;
  print(eyes ? for_eyes(runs, format) : report::render_table(run_rows(runs), format));
  return 0;
}

}  // namespace peftlab::cli
