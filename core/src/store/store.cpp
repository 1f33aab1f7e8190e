#include "store/store.h"

#include "store/file_system.h"
#include "store/impl.h"
#include "store/statistics.h"

#include <fmt/format.h>

#include <sys/random.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <thread>

namespace peftlab::store {
namespace {

constexpr const char* kSchema =
#include "store/schema.inc"
    ;

bool is_empty(const Database& db) {
  return db.integer("PRAGMA application_id") == 0 && db.integer("SELECT count(*) FROM sqlite_schema") == 0;
}

void check_identity(const Database& db, const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "store.db";
  if (db.integer("PRAGMA application_id") != kApplicationId) {
    throw StoreError(fmt::format("{} is a SQLite database, but no peftlab store", file.string()));
  }
  const int64_t version = db.integer("PRAGMA user_version");
  if (version != kSchemaVersion) throw_version_error(file, version);
}

/// Write-ahead logging is a property of the file. The switch needs the file alone and does not wait by itself.
void switch_to_wal(Database& db) {
  for (int tries = 0;; ++tries) {
    try {
      db.execute("PRAGMA journal_mode = WAL");
      return;
    } catch (const StoreError&) {
      if (tries >= 300) throw;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }
}

void create_schema(Database& db) {
  switch_to_wal(db);
  Transaction transaction(db);
  // Another process may have been faster.
  if (!is_empty(db)) return;
  write_schema(db);
  db.prepare("INSERT INTO store_meta (key, value) VALUES ('uuid', ?), ('created_ms', ?)")
      .bind(make_uuid(), std::to_string(now_ms()))
      .run();
  db.execute(fmt::format("PRAGMA application_id = {}; PRAGMA user_version = {}", kApplicationId, kSchemaVersion));
  transaction.commit();
}

}  // namespace

void throw_version_error(const std::filesystem::path& file, int64_t version) {
  throw StoreVersionError(
      fmt::format("{} has schema version {}, this peftlab reads version {}: {}", file.string(), version, kSchemaVersion,
                  version < kSchemaVersion
                      ? fmt::format("`peftlab store upgrade --store {}` brings it there, and keeps it as it is",
                                    file.parent_path().string())
                      : "a newer peftlab reads it"));
}

void write_schema(Database& db) {
  db.execute(kSchema);
  Statement quantile = db.prepare("INSERT INTO t_quantiles (df, t975) VALUES (?, ?)");
  for (int64_t df = 1; df <= kLargestDegreesOfFreedom + 1; ++df) quantile.bind(df, t_quantile_975(df)).run();
}

Database open_database(const std::filesystem::path& folder, Mode mode) {
  const std::filesystem::path file = folder / "store.db";
  std::error_code ignored;
  const bool exists = std::filesystem::exists(file, ignored);
  if (!exists && mode != Mode::read_write_create) {
    throw StoreError(
        fmt::format("there is no store at {}: `peftlab run` makes one, --store or PEFTLAB_STORE names "
                    "another",
                    folder.string()));
  }
  if (mode == Mode::read_only) {
    // A folder that may not be written (a shared archive) cannot hold the files of write-ahead logging; without a log
    // there is no writer, and the file can be read as it is.
    const bool frozen = access(folder.c_str(), W_OK) != 0 && !std::filesystem::exists(folder / "store.db-wal", ignored);
    Database db(file_uri(file, frozen ? "mode=ro&immutable=1" : "mode=ro"), SQLITE_OPEN_READONLY);
    check_identity(db, folder);
    return db;
  }
  if (!exists) {
    std::error_code error;
    std::filesystem::create_directories(folder / "objects", error);
    if (error) throw StoreError(fmt::format("cannot make the store {}: {}", folder.string(), error.message()));
  }
  require_local(folder);
  const bool create = mode == Mode::read_write_create;
  Database db(file_uri(file, create ? "mode=rwc" : "mode=rw"),
              SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0));
  if (create && is_empty(db)) create_schema(db);
  check_identity(db, folder);
  return db;
}

int64_t now_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

std::string make_uuid() {
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
    throw StoreError("the system gave no random bytes for a uuid");
  }
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3f) | 0x80);
  std::string uuid;
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) uuid += '-';
    uuid += fmt::format("{:02x}", bytes[i]);
  }
  return uuid;
}

Id Store::Impl::run_id(const std::string& uuid) const {
  Statement find = db.prepare("SELECT run_id FROM runs WHERE uuid = ?");
  if (!find.bind(uuid).step()) throw StoreError(fmt::format("the store has no run {}", uuid));
  return find.integer(0);
}

Id Store::Impl::metric_id(const std::string& name) {
  db.prepare("INSERT INTO metrics (name) VALUES (?) ON CONFLICT DO NOTHING").bind(name).run();
  Statement find = db.prepare("SELECT metric_id FROM metrics WHERE name = ?");
  find.bind(name).step();
  return find.integer(0);
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Store Store::open(const std::filesystem::path& folder, Mode mode) {
  return Store(std::make_unique<Impl>(Impl{folder, open_database(folder, mode)}));
}

const std::filesystem::path& Store::folder() const {
  return impl_->folder;
}

std::string Store::uuid() const {
  Statement find = impl_->db.prepare("SELECT value FROM store_meta WHERE key = 'uuid'");
  find.step();
  return find.text(0);
}

}  // namespace peftlab::store
