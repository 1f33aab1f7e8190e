#include "command_line.h"
#include "report/comparison.h"
#include "report/examples.h"
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

store::Rows rows_of(const std::vector<report::MethodExamples>& tests) {
  store::Rows rows{
      {"method", "metric", "seeds", "examples", "difference", "ci95_low", "ci95_high", "p", "p_holm", "verdict"}, {}};
  for (const report::MethodExamples& test : tests) {
    const auto& found = test.difference;
    rows.rows.push_back({test.label, test.metric, test.n_seeds, found.n, found.mean, found.ci95_low, found.ci95_high,
                         found.p, test.p_holm, test.verdict});
  }
  return rows;
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
  bool examples = false;
  line.optional_operand("EXPERIMENT", &experiment)
      .store_option(&folder)
      .format_option(&format)
      .flag("examples", &examples,
            "their answers on the test data instead: a method's scores less the baseline's, means over seeds, with "
            "interval and p of a paired bootstrap over examples");
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  if (examples) {
    print(report::render_table(rows_of(report::method_example_tests(store, experiment)), format));
    return 0;
  }
  print(render(report::comparison(store, experiment), format));
  return 0;
}

}  // namespace peftlab::cli
