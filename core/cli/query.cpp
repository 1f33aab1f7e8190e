#include "command_line.h"
#include "store/store.h"

namespace peftlab::cli {

int query_command(const Words& words) {
  std::filesystem::path folder;
  std::string sql;
  auto format = table_or_json();
  CommandLine line(
      "query SQL",
      "Answers one read-only SQL statement (SQLite's dialect) over the store. The views to begin with are\n"
      "v_runs, v_metric, v_score, v_compare and v_paired. Whatever is no reading is refused, and a statement\n"
      "that has not ended after 10 s is stopped. A table on a terminal, a JSON list of objects elsewhere.",
      "peftlab query \"SELECT label, seed, value FROM v_score WHERE metric = 'bleu'\" --format csv\n"
      "peftlab query \"SELECT name, sql FROM sqlite_schema WHERE type = 'view'\"");
  line.operand("SQL", &sql).store_option(&folder).format_option(&format);
  if (!line.parse(words)) return 0;

  print(report::render_table(store::query(folder, sql), format));
  return 0;
}

}  // namespace peftlab::cli
