#include "command_line.h"
#include "report/html.h"
#include "store/store.h"
#include "support/files.h"

namespace peftlab::cli {

int report_command(const Words& words) {
  std::filesystem::path folder;
  std::string experiment, file;
  CommandLine line(
      "report [EXPERIMENT] -o FILE.html",
      "Writes an experiment (by default the one run last) as one HTML page with tables and plots that needs\n"
      "nothing but itself.",
      "peftlab report emoji-captions -o report.html");
  line.optional_operand("EXPERIMENT", &experiment)
      .required_option("output,o", &file, "FILE", "the page to write")
      .store_option(&folder);
  if (!line.parse(words)) return 0;

  const auto store = store::Store::open(folder, store::Mode::read_only);
  write_text(file, report::render_html(report::page(store, experiment)));
  note("wrote " + file);
  return 0;
}

}  // namespace peftlab::cli
