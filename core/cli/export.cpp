#include "command_line.h"
#include "new_folder.h"
#include "report/comparison.h"
#include "report/tensorboard.h"
#include "store/store.h"
#include "support/files.h"

#include <peftlab/error.h>

#include <fmt/format.h>

namespace peftlab::cli {
namespace {

using Render = std::string (*)(const report::Comparison&);

/// Throws: ConfigError for an ending that names no format.
Render renderer_for(const std::string& file) {
  const std::string ending = std::filesystem::path(file).extension().string();
  if (ending == ".csv") return report::render_csv;
  if (ending == ".json") return report::render_json;
  if (ending == ".md") return report::render_markdown;
  if (ending == ".tex") return report::render_latex;
  throw ConfigError(fmt::format("the name of {} must end in .csv, .json, .md or .tex", file));
}

}  // namespace

int export_command(const Words& words) {
  std::filesystem::path folder;
  std::string experiment, file, events;
  CommandLine line("export [EXPERIMENT] -o FILE | --tensorboard DIR",
                   "Writes the comparison of an experiment (by default the one run last) for other tools. The file's\n"
                   "ending says how: .csv and .json hold every digit, .md and .tex the table that `compare` prints.\n"
                   "--tensorboard writes the curves, scores and options of its runs as TensorBoard reads them.",
                   "peftlab export emoji-captions -o results.csv\npeftlab export -o table.tex\n"
                   "peftlab export --tensorboard events && tensorboard --logdir events");
  line.optional_operand("EXPERIMENT", &experiment)
      .plain_option("output,o", &file, "FILE", "the file to write: .csv, .json, .md or .tex")
      .plain_option("tensorboard", &events, "DIR", "the folder to write event files to")
      .store_option(&folder);
  if (!line.parse(words)) return 0;

  if (file.empty() && events.empty()) throw ConfigError("what to write is missing: give -o FILE or --tensorboard DIR");
  const Render render = file.empty() ? nullptr : renderer_for(file);
  const auto store = store::Store::open(folder, store::Mode::read_only);
  if (render) {
    write_text(file, render(report::comparison(store, experiment)));
    note("wrote " + file);
  }
  if (!events.empty()) {
    const NewFolder target(events);
    const int64_t written = report::write_tensorboard(store, experiment, target.partial());
    target.give_name();
    note(fmt::format("wrote {} runs to {}", written, events));
  }
  return 0;
}

}  // namespace peftlab::cli
