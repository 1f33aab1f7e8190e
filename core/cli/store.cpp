#include "store/store.h"

#include "command_line.h"
#include "report/comparison.h"
#include "store/care.h"

#include <fmt/format.h>

namespace peftlab::cli {
namespace {

constexpr int kStoreIsBad = 5;

int check(const Words& words) {
  bool set_aside = false;
  std::filesystem::path folder;
  CommandLine line("store check",
                   "Checks the store: the database, its references, every object against the sha256 in its name, and the\n"
                   "features that runs share.\n"
                   "Prints what is wrong, one problem a line, and then ends with exit code 5.",
                   "peftlab store check --store peftlab.store");
  line.flag("quarantine", &set_aside, "first move objects that are changed to quarantine/, where nothing reads them")
      .store_option(&folder);
  if (!line.parse(words)) return 0;

  if (set_aside) {
    const auto moved = store::Store::open(folder, store::Mode::read_write).quarantine();
    for (const std::string& object : moved) note("set aside: " + object);
  }
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
                   "Deletes the objects that nothing refers to and that are older than an hour, and the features that\n"
                   "runs share, which the next run that wants them makes again; lists what it deletes.",
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
  note(fmt::format("{} {} files, {}", dry_run ? "would delete" : "deleted", rows.rows.size(),
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

int merge(const Words& words) {
  std::filesystem::path folder;
  std::string other;
  bool dry_run = false;
  CommandLine line(
      "store merge OTHER",
      "Adds the runs of the store OTHER, made on another machine, with all that belongs to them. Runs that\n"
      "are here already are known by their uuid, so that merging twice adds nothing. Where the stores\n"
      "contradict each other nothing is written, and the exit code is 7.",
      "peftlab store merge node7.store --dry-run");
  line.operand("OTHER", &other).flag("dry-run", &dry_run, "only say what would be added").store_option(&folder);
  if (!line.parse(words)) return 0;

  auto store = store::Store::open(folder, dry_run ? store::Mode::read_write : store::Mode::read_write_create);
  const auto summary = store::merge(store, other, dry_run);
  for (const std::string& run : summary.left_out) note("left out " + run);
  note(fmt::format("{} {} runs; {} were here, {} left out", dry_run ? "would add" : "added", summary.runs_added,
                   summary.runs_known, summary.left_out.size()));
  return 0;
}

int upgrade(const Words& words) {
  std::filesystem::path folder;
  CommandLine line("store upgrade",
                   "Makes a store that an older peftlab wrote one that this peftlab reads. What it was is kept in its\n"
                   "folder backup/.",
                   "peftlab store upgrade --store peftlab.store");
  line.store_option(&folder);
  if (!line.parse(words)) return 0;

  const auto done = store::upgrade(folder);
  note(done.from == done.to ? fmt::format("{} has schema version {} already", folder.string(), done.to)
                            : fmt::format("{}: schema version {} is now {}; what it was is {}", folder.string(),
                                          done.from, done.to, done.backup.string()));
  return 0;
}

}  // namespace

int store_command(const Words& words) {
  return dispatch_part("store", words,
                       {{"check", "look for damage", check},
                        {"gc", "delete what nothing refers to", gc},
                        {"backup", "copy the whole store", backup},
                        {"merge", "add the runs of another store", merge},
                        {"upgrade", "bring an older store to this version", upgrade}});
}

}  // namespace peftlab::cli
