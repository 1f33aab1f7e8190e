#include "store/sqlite.h"

#include <fmt/format.h>

namespace peftlab::store {

void throw_sqlite(sqlite3* db, int rc, const std::string& doing) {
  const std::string detail = db ? sqlite3_errmsg(db) : sqlite3_errstr(rc);
  switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw StoreError(fmt::format("the store is locked: {} waited 30 s for another process ({})", doing, detail));
    case SQLITE_FULL:
      throw StoreError(fmt::format("the disk of the store is full: {} failed ({})", doing, detail));
    case SQLITE_NOTADB:
    case SQLITE_CORRUPT:
      throw StoreError(fmt::format("the store is broken or no peftlab store: {} failed ({})", doing, detail));
    case SQLITE_READONLY:
      throw StoreError(fmt::format("the store may not be written: {} failed ({})", doing, detail));
    default:
      throw StoreError(fmt::format("the store failed: {}: {}", doing, detail));
  }
}

Statement::Statement(sqlite3* db, std::string_view sql) : db_(db) {
  sqlite3_stmt* statement = nullptr;
  const int rc = sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement, nullptr);
  handle_.reset(statement);
  if (rc != SQLITE_OK) throw_sqlite(db, rc, "preparing a statement");
}

bool Statement::step() {
  const int rc = sqlite3_step(handle_.get());
  if (rc == SQLITE_ROW) return true;
  if (rc == SQLITE_DONE) {
    sqlite3_reset(handle_.get());
    return false;
  }
  const int extended = sqlite3_extended_errcode(db_);
  const std::string detail = sqlite3_errmsg(db_);
  sqlite3_reset(handle_.get());
  // A trigger's own words are the whole message.
  if (extended == SQLITE_CONSTRAINT_TRIGGER) throw StoreError(detail);
  throw_sqlite(db_, rc, std::string(sqlite3_sql(handle_.get())).substr(0, 60));
}

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_.get(), column));
  return data ? std::string(data, static_cast<size_t>(sqlite3_column_bytes(handle_.get(), column))) : std::string();
}

std::optional<int64_t> Statement::maybe_integer(int column) const {
  return is_null(column) ? std::nullopt : std::optional(integer(column));
}
std::optional<double> Statement::maybe_real(int column) const {
  return is_null(column) ? std::nullopt : std::optional(real(column));
}
std::optional<std::string> Statement::maybe_text(int column) const {
  return is_null(column) ? std::nullopt : std::optional(text(column));
}

Database::Database(const std::string& uri, int flags) {
  sqlite3* db = nullptr;
  const int rc = sqlite3_open_v2(uri.c_str(), &db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, nullptr);
  handle_.reset(db);
  if (rc != SQLITE_OK) throw_sqlite(db, rc, "opening " + uri);
  sqlite3_extended_result_codes(db, 1);
  sqlite3_busy_timeout(db, 30'000);
  // A store may come from a stranger: its schema gets no rights beyond plain SQL.
  sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, nullptr);
  sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, nullptr);
  execute("PRAGMA foreign_keys = ON; PRAGMA synchronous = FULL; PRAGMA cell_size_check = ON");
}

void Database::execute(const std::string& sql) {
  const int rc = sqlite3_exec(handle_.get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (rc != SQLITE_OK) throw_sqlite(handle_.get(), rc, sql.substr(0, 60));
}

int64_t Database::integer(std::string_view sql) const {
  Statement statement = prepare(sql);
  return statement.step() ? statement.integer(0) : 0;
}

Transaction::~Transaction() {
  // SQLite may have rolled back by itself (disk full); then there is nothing left to do.
  if (!done_ && !sqlite3_get_autocommit(db_.handle())) {
    sqlite3_exec(db_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() {
  db_.execute("COMMIT");
  done_ = true;
}

std::string file_uri(const std::filesystem::path& file, const std::string& query) {
  std::string uri = "file:";
  for (const unsigned char c : std::filesystem::absolute(file).string()) {
    if (std::isalnum(c) || std::string_view("/._-").find(static_cast<char>(c)) != std::string_view::npos) {
      uri += static_cast<char>(c);
    } else {
      uri += fmt::format("%{:02X}", c);
    }
  }
  return uri + "?" + query;
}

}  // namespace peftlab::store
