// An older store becomes one of this version.

#include "store/care.h"
#include "store/impl.h"
#include "store/process.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <ctime>

namespace peftlab::store {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> texts(const Database& db, const std::string& sql) {
  std::vector<std::string> found;
  Statement s = db.prepare(sql);
  while (s.step()) found.push_back(s.text(0));
  return found;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : ", ") + word;
  return text;
}

void sync_file(const fs::path& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  fsync(file);
  close(file);
}

class Upgrading {
 public:
  explicit Upgrading(const fs::path& folder)
      : folder_(folder), file_(folder / "store.db"), fresh_(folder / "store.db.upgrading") {}

  Upgrade run() {
    if (!fs::exists(file_)) throw StoreError(fmt::format("there is no store at {}", folder_.string()));
    Database old(file_uri(file_, "mode=rw"), SQLITE_OPEN_READWRITE);
    if (old.integer("PRAGMA application_id") != kApplicationId) {
      throw StoreError(fmt::format("{} is a SQLite database, but no peftlab store", file_.string()));
    }
    const int64_t version = old.integer("PRAGMA user_version");
    if (version == kSchemaVersion) return {version, version};
    if (version > kSchemaVersion || version < 1) throw_version_error(file_, version);
    check_room();
    take_alone(old);
    check_nothing_runs(old);
    discard();
    make_fresh();
    copy_rows(old);
    finish_fresh(version);
    const fs::path kept = keep_old(version);
    fs::rename(fresh_, file_);
    sync_file(folder_);
    return {version, kSchemaVersion, kept};
  }

 private:
  void check_room() const {
    std::error_code error;
    const auto space = fs::space(folder_, error);
    const auto needed = 2 * fs::file_size(file_) + (uintmax_t{16} << 20);
    if (!error && space.available < needed) {
      throw StoreError(fmt::format("upgrading {} needs {} MB on its disk, and {} MB are free", folder_.string(),
                                   needed >> 20, space.available >> 20));
    }
  }

  /// From now on, until `old` is closed, no other process can open the database.
  void take_alone(Database& old) const {
    old.execute("PRAGMA busy_timeout = 2000; PRAGMA locking_mode = EXCLUSIVE");
    try {
      old.execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE; COMMIT");
    } catch (const StoreError&) {
      throw StoreError(fmt::format("{} is open in another process: end it and upgrade again", file_.string()));
    }
    old.execute("PRAGMA foreign_keys = OFF");
  }

  static void check_nothing_runs(const Database& old) {
    Statement running = old.prepare(
        "SELECT uuid, pid, boot_id, pid_start, coalesce(heartbeat_ms, 0) FROM runs WHERE state = 'running'");
    while (running.step()) {
      if (is_alive({running.integer(1), running.text(2), running.integer(3)}, now_ms() - running.integer(4))) {
        throw StoreError(fmt::format("run {} is running: upgrade when it has ended", running.text(0)));
      }
    }
  }

  void discard() const {
    for (const char* ending : {"", "-journal", "-wal", "-shm"}) fs::remove(fresh_.string() + ending);
  }

  void make_fresh() {
    Database fresh(file_uri(fresh_, "mode=rwc"), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    write_schema(fresh);
    // They say what a run may do next, not what may be copied.
    triggers_ = texts(fresh, "SELECT sql FROM sqlite_schema WHERE type = 'trigger'");
    for (const std::string& name : texts(fresh, "SELECT name FROM sqlite_schema WHERE type = 'trigger'")) {
      fresh.execute(fmt::format("DROP TRIGGER {}", name));
    }
  }

  /// Every table's rows, with the columns that both have; the others are given their defaults.
  void copy_rows(Database& old) const {
    old.prepare("ATTACH ? AS fresh").bind(fresh_.string()).run();
    old.execute("BEGIN");
    for (const std::string& table :
         texts(old,
               "SELECT name FROM main.sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
               "AND name IN (SELECT name FROM fresh.sqlite_schema)")) {
      const std::string columns =
          joined(texts(old, fmt::format("SELECT name FROM pragma_table_info('{0}', 'main') WHERE name IN "
                                        "(SELECT name FROM pragma_table_info('{0}', 'fresh'))",
                                        table)));
      old.execute(fmt::format("INSERT OR REPLACE INTO fresh.{0} ({1}) SELECT {1} FROM main.{0}", table, columns));
    }
    old.execute("COMMIT; DETACH fresh");
  }

  void finish_fresh(int64_t version) const {
    {
      Database fresh(file_uri(fresh_, "mode=rw"), SQLITE_OPEN_READWRITE);
      for (const std::string& trigger : triggers_) fresh.execute(trigger);
      fresh.prepare("INSERT INTO store_meta (key, value) VALUES (?, ?)")
          .bind(fmt::format("upgraded_from_{}_ms", version), std::to_string(now_ms()))
          .run();
      const auto broken = texts(fresh, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_check");
      const auto integrity = texts(fresh, "PRAGMA integrity_check");
      if (!broken.empty() || integrity != std::vector<std::string>{"ok"}) {
        discard();
        throw StoreError(fmt::format("{} is damaged and was not upgraded: {}{}", file_.string(), joined(integrity),
                                     broken.empty() ? "" : "; references of " + joined(broken)));
      }
      fresh.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}; PRAGMA journal_mode = WAL",
                                kApplicationId, kSchemaVersion));
    }
    sync_file(fresh_);
  }

  fs::path keep_old(int64_t version) const {
    fs::create_directories(folder_ / "backup");
    const std::time_t now = std::time(nullptr);
    const fs::path kept = folder_ / "backup" / fmt::format("store-v{}-{:%Y%m%dT%H%M%SZ}.db", version, fmt::gmtime(now));
    std::error_code error;
    fs::create_hard_link(file_, kept, error);
    if (error) fs::copy_file(file_, kept);
    return kept;
  }

  const fs::path folder_, file_, fresh_;
  std::vector<std::string> triggers_;
};

}  // namespace

Upgrade upgrade(const fs::path& folder) { return Upgrading(folder).run(); }

}  // namespace peftlab::store
