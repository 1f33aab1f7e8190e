#include "store/store.h"

#include "command_line.h"
#include "report/comparison.h"

#include <fmt/format.h>

namespace peftlab::cli {
namespace {

constexpr int kStoreIsBad = 5;

int check(const Words& words) {
  std::filesystem::path folder;
  CommandLine line("store check",
                   "Checks the store: the database, its references, and every object against the sha256 in its name.\n"
                   "Prints what is wrong, one problem a line, and then ends with exit code 5.",
                   "peftlab store check --store peftlab.store");
  line.store_option(&folder);
  if (!line.parse(words)) return 0;

  const auto problems = store::Store::open(folder, store::Mode::read_only).check();
  for (const std::string& problem : problems) print(problem + "\n");
  if (!problems.empty()) return kStoreIsBad;
  note("the store " + folder.string() + " is in order");
  return 0;
}

int gc(const Words& words) {
  std::filesystem::path folder;
  bool dry_run = false;
  auto format = report::Format::table;
  CommandLine line("store gc",
                   "Deletes the objects that nothing refers to and that are older than an hour, and lists them.",
                   "peftlab store gc --dry-run");
  line.flag("dry-run", &dry_run, "only list them").store_option(&folder).format_option(&format);
  if (!line.parse(words)) return 0;

  auto store = store::Store::open(folder, store::Mode::read_write);
  store::Rows rows{{"file", "size_bytes"}, {}};
  int64_t bytes = 0;
  for (const store::Garbage& garbage : store.gc(dry_run)) {
    rows.rows.push_back({garbage.file, garbage.size_bytes});
    bytes += garbage.size_bytes;
  }
  print(report::render_table(rows, format));
  note(fmt::format("{} {} objects, {}", dry_run ? "would delete" : "deleted", rows.rows.size(),
                   report::bytes_text(bytes)));
  return 0;
}

int backup(const Words& words) {
  std::filesystem::path folder;
  std::string target;
  CommandLine line("store backup DIR",
                   "Writes a copy of the whole store, as it is at this moment, to the new folder DIR. Runs may go on\n"
                   "meanwhile.",
                   "peftlab store backup backups/monday");
  line.operand("DIR", &target).store_option(&folder);
  if (!line.parse(words)) return 0;

  store::Store::open(folder, store::Mode::read_only).backup(target);
  note("copied " + folder.string() + " to " + target);
  return 0;
}

}  // namespace

int store_command(const Words& words) {
  return dispatch_part(
      "store", words,
      {{"check", "look for damage", check},
       {"gc", "delete what nothing refers to", gc},
       {"backup", "copy the whole store", backup},
       {"merge", "(not in this version)", [](const Words&) -> int { not_in_this_version("store merge"); }},
       {"upgrade", "(not in this version)", [](const Words&) -> int { not_in_this_version("store upgrade"); }}});
}

}  // namespace peftlab::cli
