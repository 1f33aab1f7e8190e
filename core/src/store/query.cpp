// One read-only statement of the user's, with nothing it could harm: a process of its own, a read-only connection, an
// authorizer that denies by default, and limits on time, memory and rows. Each layer stops what another lets through:
// VACUUM INTO writes a file over a read-only connection, and instr() on long texts runs for hours inside one step.

#include "store/impl.h"

#include <fmt/format.h>

#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>

namespace peftlab::store {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kMaxAnswerBytes = 256 << 20;
constexpr int64_t kMaxHeapBytes = 256 << 20;

/// How the child's answer begins.
enum class Answer : char { rows = 'R', config_error = 'C', store_error = 'S', version_error = 'V' };

std::string seconds_text(const QueryLimits& limits) {
  return fmt::format("{} s", static_cast<double>(limits.deadline.count()) / 1000.0);
}

// The child: asks, and writes its answer to a pipe.

void append_number(std::string& out, const auto& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_text(std::string& out, std::string_view text) {
  append_number(out, static_cast<int64_t>(text.size()));
  out += text;
}

void append_cell(std::string& out, sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER:
      out += 'i';
      append_number(out, static_cast<int64_t>(sqlite3_column_int64(statement, column)));
      break;
    case SQLITE_FLOAT:
      out += 'r';
      append_number(out, sqlite3_column_double(statement, column));
      break;
    case SQLITE_TEXT: {
      out += 't';
      const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement, column));
      append_text(out, std::string_view(data, static_cast<size_t>(sqlite3_column_bytes(statement, column))));
      break;
    }
    case SQLITE_BLOB: {
      const auto* data = static_cast<const unsigned char*>(sqlite3_column_blob(statement, column));
      std::string hex = "x'";
      for (int i = 0; i < sqlite3_column_bytes(statement, column); ++i) hex += fmt::format("{:02x}", data[i]);
      out += 't';
      append_text(out, hex + "'");
      break;
    }
    default:
      out += 'n';
  }
}

bool is_one_of(const char* name, std::initializer_list<const char*> names) {
  return name && std::any_of(names.begin(), names.end(), [name](const char* n) { return !sqlite3_stricmp(n, name); });
}

/// Reading is allowed, and nothing else.
int authorize(void*, int action, const char* a, const char* b, const char*, const char*) {
  switch (action) {
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE:
      return SQLITE_OK;
    case SQLITE_READ:
      // SQLite's own tables but the list of tables and views.
      return a && !sqlite3_strnicmp(a, "sqlite_", 7) && !is_one_of(a, {"sqlite_schema", "sqlite_master"}) ? SQLITE_DENY
                                                                                                          : SQLITE_OK;
    case SQLITE_FUNCTION:
      return is_one_of(b, {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "eval"}) ? SQLITE_DENY
                                                                                                         : SQLITE_OK;
    case SQLITE_PRAGMA:
      return is_one_of(a, {"table_info", "table_xinfo", "table_list", "index_list", "index_info", "foreign_key_list"})
                 ? SQLITE_OK
                 : SQLITE_DENY;
    default:
      return SQLITE_DENY;
  }
}

void set_limits(sqlite3* db) {
  sqlite3_hard_heap_limit64(kMaxHeapBytes);
  constexpr std::array<std::pair<int, int>, 12> kLimits{{{SQLITE_LIMIT_LENGTH, 8 << 20},
                                                         {SQLITE_LIMIT_SQL_LENGTH, 64 << 10},
                                                         {SQLITE_LIMIT_COLUMN, 200},
                                                         {SQLITE_LIMIT_EXPR_DEPTH, 60},
                                                         {SQLITE_LIMIT_COMPOUND_SELECT, 20},
                                                         {SQLITE_LIMIT_VDBE_OP, 100'000},
                                                         {SQLITE_LIMIT_FUNCTION_ARG, 32},
                                                         {SQLITE_LIMIT_ATTACHED, 0},
                                                         {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 200},
                                                         {SQLITE_LIMIT_VARIABLE_NUMBER, 100},
                                                         {SQLITE_LIMIT_TRIGGER_DEPTH, 5},
                                                         {SQLITE_LIMIT_WORKER_THREADS, 0}}};
  for (const auto& [limit, value] : kLimits) sqlite3_limit(db, limit, value);
}

int past_deadline(void* deadline) {
  return Clock::now() > *static_cast<Clock::time_point*>(deadline);
}

/// Throws: ConfigError, with SQLite's reason.
[[noreturn]] void refuse(sqlite3* db, int rc, const QueryLimits& limits) {
  if (rc == SQLITE_INTERRUPT) throw ConfigError(fmt::format("the query was stopped after {}", seconds_text(limits)));
  if ((rc & 0xff) == SQLITE_AUTH) {
    throw ConfigError(fmt::format("the query was refused: only reading is allowed ({})", sqlite3_errmsg(db)));
  }
  if ((rc & 0xff) == SQLITE_NOMEM) {
    throw ConfigError(fmt::format("the query was stopped: it needs more than {} MiB", kMaxHeapBytes >> 20));
  }
  if ((rc & 0xff) == SQLITE_BUSY || (rc & 0xff) == SQLITE_CORRUPT || (rc & 0xff) == SQLITE_IOERR) {
    throw_sqlite(db, rc, "the query");
  }
  throw ConfigError(fmt::format("the query was refused: {}", sqlite3_errmsg(db)));
}

std::string ask(const std::filesystem::path& folder, const std::string& sql, const QueryLimits& limits) {
  const Database database = open_database(folder, Mode::read_only);
  sqlite3* db = database.handle();
  sqlite3_busy_timeout(db, static_cast<int>(limits.deadline.count()));
  if (sqlite3_exec(db, "PRAGMA query_only = 1; PRAGMA temp_store = MEMORY", nullptr, nullptr, nullptr) != SQLITE_OK) {
    throw_sqlite(db, sqlite3_errcode(db), "preparing for a query");
  }
  Clock::time_point deadline = Clock::now() + limits.deadline;
  set_limits(db);
  sqlite3_set_authorizer(db, authorize, nullptr);
  sqlite3_progress_handler(db, 1000, past_deadline, &deadline);

  if (sql.find('\0') != std::string::npos) throw ConfigError("the query was refused: it holds a NUL character");
  sqlite3_stmt* raw = nullptr;
  const char* tail = nullptr;
  int rc = sqlite3_prepare_v2(db, sql.c_str(), -1, &raw, &tail);
  const std::unique_ptr<sqlite3_stmt, int (*)(sqlite3_stmt*)> statement(raw, sqlite3_finalize);
  if (rc != SQLITE_OK) refuse(db, rc, limits);
  if (!raw) throw ConfigError("the query was refused: there is no statement in it");
  // What follows may be a comment or a semicolon, which compile to nothing.
  while (*tail) {
    sqlite3_stmt* second = nullptr;
    const char* rest = tail;
    rc = sqlite3_prepare_v2(db, tail, -1, &second, &rest);
    sqlite3_finalize(second);
    if (rc != SQLITE_OK || second || rest == tail) throw ConfigError("the query was refused: more than one statement");
    tail = rest;
  }
  if (!sqlite3_stmt_readonly(raw)) throw ConfigError("the query was refused: only reading is allowed");
  if (sqlite3_bind_parameter_count(raw) > 0) {
    throw ConfigError("the query was refused: it has parameters, and nothing to put in their place");
  }

  std::string out(1, static_cast<char>(Answer::rows));
  const int n_columns = sqlite3_column_count(raw);
  append_number(out, static_cast<int64_t>(n_columns));
  for (int i = 0; i < n_columns; ++i) append_text(out, sqlite3_column_name(raw, i));
  int64_t n_rows = 0;
  while ((rc = sqlite3_step(raw)) == SQLITE_ROW) {
    if (++n_rows > limits.max_rows || static_cast<int64_t>(out.size()) > kMaxAnswerBytes) {
      throw ConfigError(fmt::format("the query was stopped: more than {} rows or {} MiB; add a LIMIT", limits.max_rows,
                                    kMaxAnswerBytes >> 20));
    }
    for (int i = 0; i < n_columns; ++i) append_cell(out, raw, i);
  }
  if (rc != SQLITE_DONE) refuse(db, rc, limits);
  return out;
}

[[noreturn]] void answer_and_exit(int fd, const std::filesystem::path& folder, const std::string& sql,
                                  const QueryLimits& limits) {
  std::string out;
  const auto say = [&out](Answer kind, const char* message) { out = static_cast<char>(kind) + std::string(message); };
  try {
    out = ask(folder, sql, limits);
  } catch (const ConfigError& error) {
    say(Answer::config_error, error.what());
  } catch (const StoreVersionError& error) {
    say(Answer::version_error, error.what());
  } catch (const std::exception& error) {
    say(Answer::store_error, error.what());
  }
  std::string_view rest = out;
  while (!rest.empty()) {
    const ssize_t n = write(fd, rest.data(), rest.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    rest.remove_prefix(static_cast<size_t>(n));
  }
  // Nothing of the parent's may run here: no destructors, no buffers written twice.
  _exit(0);
}

// The parent: reads the answer, up to the deadline.

/// Reads what append_* wrote.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }
  char character() { return take(1).front(); }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string text() { return std::string(take(static_cast<size_t>(number<int64_t>()))); }

 private:
  std::string_view take(size_t n) {
    if (n > rest_.size()) throw StoreError("the query's process ended in the middle of its answer");
    const std::string_view taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }
  std::string_view rest_;
};

Rows parse_rows(Reader reader) {
  Rows answer;
  const auto n_columns = static_cast<size_t>(reader.number<int64_t>());
  for (size_t i = 0; i < n_columns; ++i) answer.columns.push_back(reader.text());
  while (!reader.done()) {
    std::vector<Cell>& row = answer.rows.emplace_back(n_columns);
    for (Cell& cell : row) {
      switch (reader.character()) {
        case 'i':
          cell = reader.number<int64_t>();
          break;
        case 'r':
          cell = reader.number<double>();
          break;
        case 't':
          cell = reader.text();
          break;
        default:
          break;
      }
    }
  }
  return answer;
}

/// All that comes through `fd` until its end; false if the deadline came first.
bool read_until(int fd, Clock::time_point deadline, std::string& out) {
  std::array<char, 1 << 16> buffer;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0) return false;
    pollfd waiting{fd, POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left));
    if (ready == 0 || (ready < 0 && errno == EINTR)) continue;
    const ssize_t n = read(fd, buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return true;
    out.append(buffer.data(), static_cast<size_t>(n));
  }
}

}  // namespace

Rows query(const std::filesystem::path& folder, const std::string& sql, const QueryLimits& limits) {
  std::array<int, 2> ends{};
  if (pipe(ends.data()) != 0) throw StoreError(fmt::format("cannot make a pipe: {}", std::strerror(errno)));
  const pid_t child = fork();
  if (child < 0) {
    close(ends[0]);
    close(ends[1]);
    throw StoreError(fmt::format("cannot start a process for the query: {}", std::strerror(errno)));
  }
  if (child == 0) {
    close(ends[0]);
    answer_and_exit(ends[1], folder, sql, limits);
  }
  close(ends[1]);
  std::string bytes;
  // The child stops by itself at the deadline, unless it is inside one long step; then it is stopped a little later.
  const bool complete = read_until(ends[0], Clock::now() + limits.deadline + std::chrono::milliseconds(500), bytes);
  close(ends[0]);
  if (!complete) kill(child, SIGKILL);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (!complete) throw ConfigError(fmt::format("the query was stopped after {}", seconds_text(limits)));
  if (bytes.empty()) throw StoreError("the query's process ended without an answer");
  const std::string_view body = std::string_view(bytes).substr(1);
  switch (static_cast<Answer>(bytes.front())) {
    case Answer::rows:
      return parse_rows(Reader(body));
    case Answer::config_error:
      throw ConfigError(std::string(body));
    case Answer::version_error:
      throw StoreVersionError(std::string(body));
    default:
      throw StoreError(std::string(body));
  }
}

}  // namespace peftlab::store
