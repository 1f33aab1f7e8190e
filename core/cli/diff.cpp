#include "command_line.h"
#include "rows.h"
#include "store/store.h"

namespace peftlab::cli {

int diff_command(const Words& words) {
  std::filesystem::path folder;
  std::string a, b;
  auto format = report::Format::table;
  CommandLine line("diff RUN RUN",
                   "Shows in what two runs differ: settings, inputs, plugins, machine, results. RUN is a uuid or the\n"
                   "beginning of one. Nothing is listed where they are alike.",
                   "peftlab diff 0194f3 0194f5");
  line.operand("RUN", &a).operand("RUN", &b).store_option(&folder).format_option(&format);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  store::Rows rows{{"name", "a", "b"}, {}};
  for (const store::Difference& difference : store.diff(a, b)) {
    rows.rows.push_back({difference.path, cell_of(difference.a), cell_of(difference.b)});
  }
  print(report::render_table(rows, format));
  return 0;
}

}  // namespace peftlab::cli
