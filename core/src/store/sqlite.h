#pragma once

/// \file
/// SQLite's C interface as C++ objects. Only the room store/ includes this.

#include <peftlab/error.h>

#include <sqlite3.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

namespace peftlab::store {

/// Throws StoreError for the code `rc`, telling apart what a user can act on: locked, full, not a database.
[[noreturn]] void throw_sqlite(sqlite3* db, int rc, const std::string& doing);

/// One prepared statement. Parameters are bound in order; a statement is used for one execution at a time.
class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql);

  /// Binds the parameters 1, 2, ...: integers, reals, text, std::optional of them, nullptr for NULL.
  template <typename... T>
  Statement& bind(const T&... values) {
    sqlite3_reset(handle_.get());
    int index = 0;
    (bind_one(++index, values), ...);
    return *this;
  }

  /// Goes to the next row; false when there is none.
  bool step();
  /// Runs to the end.
  void run() {
    while (step()) {
    }
  }

  bool is_null(int column) const { return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL; }
  int64_t integer(int column) const { return sqlite3_column_int64(handle_.get(), column); }
  double real(int column) const { return sqlite3_column_double(handle_.get(), column); }
  std::string text(int column) const;
  std::optional<int64_t> maybe_integer(int column) const;
  std::optional<double> maybe_real(int column) const;
  std::optional<std::string> maybe_text(int column) const;

 private:
  template <typename T>
  void bind_one(int index, const T& value) {
    int rc = SQLITE_OK;
    if constexpr (std::is_same_v<T, std::nullptr_t>) {
      rc = sqlite3_bind_null(handle_.get(), index);
    } else if constexpr (std::is_integral_v<T>) {
      rc = sqlite3_bind_int64(handle_.get(), index, static_cast<sqlite3_int64>(value));
    } else if constexpr (std::is_floating_point_v<T>) {
      rc = sqlite3_bind_double(handle_.get(), index, value);
    } else if constexpr (std::is_convertible_v<T, std::string_view>) {
      const std::string_view text = value;
      rc = sqlite3_bind_text64(handle_.get(), index, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT,
                               SQLITE_UTF8);
    } else {
      if (value) return bind_one(index, *value);
      rc = sqlite3_bind_null(handle_.get(), index);
    }
    if (rc != SQLITE_OK) throw_sqlite(db_, rc, "binding a value");
  }

  struct Finalize {
    void operator()(sqlite3_stmt* s) const { sqlite3_finalize(s); }
  };
  sqlite3* db_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

/// A connection with the store's rules in force: foreign keys, defensive, full synchronization, 30 s of patience.
class Database {
 public:
  /// `flags` are SQLITE_OPEN_*; `uri` is a file: URI.
  /// Throws: StoreError.
  Database(const std::string& uri, int flags);

  sqlite3* handle() const { return handle_.get(); }
  void execute(const std::string& sql);
  Statement prepare(std::string_view sql) const { return Statement(handle_.get(), sql); }
  /// The first column of the first row, as an integer.
  int64_t integer(std::string_view sql) const;
  int64_t changes() const { return sqlite3_changes64(handle_.get()); }
  int64_t last_id() const { return sqlite3_last_insert_rowid(handle_.get()); }

 private:
  struct Close {
    void operator()(sqlite3* db) const { sqlite3_close_v2(db); }
  };
  std::unique_ptr<sqlite3, Close> handle_;
};

/// BEGIN IMMEDIATE now, ROLLBACK in the destructor unless commit() was called.
class Transaction {
 public:
  explicit Transaction(Database& db) : db_(db) { db_.execute("BEGIN IMMEDIATE"); }
  ~Transaction();
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit();

 private:
  Database& db_;
  bool done_ = false;
};

/// The file as a URI that SQLite opens; `query` such as "mode=ro".
std::string file_uri(const std::filesystem::path& file, const std::string& query);

}  // namespace peftlab::store
