#include "command_line.h"
#include "report/examples.h"
#include "rows.h"
#include "store/store.h"

namespace peftlab::cli {
namespace {

store::Rows rows_of(const std::vector<report::ExampleTest>& tests) {
  store::Rows rows{{"metric", "n", "difference", "ci95_low", "ci95_high", "p", "only_a", "only_b", "p_mcnemar"}, {}};
  for (const report::ExampleTest& test : tests) {
    const auto& found = test.difference;
    rows.rows.push_back({test.metric, found.n, found.mean, found.ci95_low, found.ci95_high, found.p,
                         cell_of(test.only_first), cell_of(test.only_second), cell_of(test.mcnemar)});
  }
  return rows;
}

}  // namespace

int diff_command(const Words& words) {
  std::filesystem::path folder;
  std::string a, b;
  auto format = report::Format::table;
  CommandLine line("diff RUN RUN",
                   "Shows in what two runs differ: settings, inputs, plugins, machine, results. RUN is a uuid or the\n"
                   "beginning of one. Nothing is listed where they are alike.",
                   "peftlab diff 0194f3 0194f5");
  bool examples = false;
  line.operand("RUN", &a)
      .operand("RUN", &b)
      .flag("examples", &examples,
            "their answers on the test data instead: a's score less b's, with interval and p of a paired bootstrap "
            "over examples; McNemar's p where an answer is right or wrong")
      .store_option(&folder)
      .format_option(&format);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  if (examples) {
    print(report::render_table(rows_of(report::example_tests(store, a, b)), format));
    return 0;
  }
  store::Rows rows{{"name", "a", "b"}, {}};
  for (const store::Difference& difference : store.diff(a, b)) {
    rows.rows.push_back({difference.path, cell_of(difference.a), cell_of(difference.b)});
  }
  print(report::render_table(rows, format));
  return 0;
}

}  // namespace peftlab::cli
