#include "command_line.h"
#include "report/comparison.h"
#include "store/store.h"

namespace peftlab::cli {
namespace {

using report::Format;

std::string render(const report::Comparison& comparison, Format format) {
  switch (format) {
    case Format::table:
      break;
    case Format::json:
      return report::render_json(comparison);
    case Format::csv:
      return report::render_csv(comparison);
    case Format::md:
      return report::render_markdown(comparison);
  }
  return report::render_terminal(comparison);
}

}  // namespace

int compare_command(const Words& words) {
  std::filesystem::path folder;
  std::string experiment;
  Format format = Format::table;
  CommandLine line(
      "compare [EXPERIMENT]",
      "Puts the methods of an experiment (by default the one run last) side by side, best first: means over\n"
      "seeds on the test split with 95 % intervals, differences to the baseline paired by seed, and costs.",
      "peftlab compare\npeftlab compare emoji-captions --format md");
  line.optional_operand("EXPERIMENT", &experiment).store_option(&folder).format_option(&format);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  print(render(report::comparison(store, experiment), format));
  return 0;
}

}  // namespace peftlab::cli
