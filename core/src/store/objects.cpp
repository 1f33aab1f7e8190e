// Objects, and the care of the whole store.

#include "store/features.h"
#include "store/impl.h"
#include "support/sha256.h"

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>

namespace peftlab::store {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& doing, const fs::path& file) {
  throw StoreError(fmt::format("{} {}: {}", doing, file.string(), std::strerror(errno)));
}

/// A file descriptor that closes itself.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_all(int fd, std::string_view bytes, const fs::path& file) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail("cannot write", file);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
}

void sync_folder(const fs::path& folder) {
  const Descriptor fd(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || fsync(fd.get()) != 0) fail("cannot write", folder);
}

fs::path relative_object(const std::string& sha256) {
  return fs::path("objects") / sha256.substr(0, 2) / sha256;
}

bool is_sha256(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

/// Writes an object under a temporary name, then gives it its own: it is there whole or not at all.
struct ObjectWriter {
  Database& db;
  fs::path folder;

  /// `fill` writes the bytes to a descriptor. Returns their sha256.
  std::string put(const std::function<void(int, const fs::path&)>& fill) {
    const fs::path temporary = folder / "objects" / ("tmp-" + make_uuid());
    std::error_code error;
    fs::create_directories(temporary.parent_path(), error);
    struct Remove {
      const fs::path& file;
      ~Remove() { unlink(file.c_str()); }
    } remove{temporary};
    {
      const Descriptor fd(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0444));
      if (fd.get() < 0) fail("cannot write", temporary);
      fill(fd.get(), temporary);
      if (fsync(fd.get()) != 0) fail("cannot write", temporary);
    }
    const std::string sha256 = sha256_file(temporary);
    const fs::path target = folder / relative_object(sha256);
    const int64_t size = static_cast<int64_t>(fs::file_size(temporary));
    // Inside the transaction no garbage collection can take the file away again before its row is there.
    Transaction transaction(db);
    fs::create_directories(target.parent_path(), error);
    if (!fs::exists(target, error)) {
      if (rename(temporary.c_str(), target.c_str()) != 0) fail("cannot write", target);
      sync_folder(target.parent_path());
      sync_folder(folder / "objects");
    }
    db.prepare(
          "INSERT INTO objects (sha256, size_bytes, created_ms) VALUES (?, ?, ?) "
          "ON CONFLICT DO UPDATE SET created_ms = excluded.created_ms")
        .bind(sha256, size, now_ms())
        .run();
    transaction.commit();
    return sha256;
  }
};

}  // namespace

std::string Store::put_object(std::string_view bytes) {
  return ObjectWriter{impl_->db, impl_->folder}.put(
      [bytes](int fd, const fs::path& file) { write_all(fd, bytes, file); });
}

std::string Store::put_object_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw FormatError(fmt::format("cannot read {}: {}", file.string(), std::strerror(errno)));
  return ObjectWriter{impl_->db, impl_->folder}.put([&](int fd, const fs::path& target) {
    std::string buffer(size_t{1} << 20, '\0');
    while (in.read(buffer.data(), static_cast<std::streamsize>(buffer.size())), in.gcount() > 0) {
      write_all(fd, std::string_view(buffer).substr(0, static_cast<size_t>(in.gcount())), target);
    }
    if (in.bad()) throw FormatError(fmt::format("cannot read {} to its end", file.string()));
  });
}

std::filesystem::path Store::object_path(const std::string& sha256) const {
  if (!is_sha256(sha256)) throw StoreError(fmt::format("\"{}\" is no sha256 (64 lower-case hex digits)", sha256));
  return impl_->folder / relative_object(sha256);
}

std::string Store::get_object(const std::string& sha256) const {
  const fs::path file = object_path(sha256);
  std::ifstream in(file, std::ios::binary);
  if (!in) throw StoreError(fmt::format("the store has no object {}", sha256));
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string found = sha256_hex(bytes);
  if (found != sha256) throw StoreError(fmt::format("{} was changed: its sha256 is {}", file.string(), found));
  return bytes;
}

namespace {

constexpr const char* kMissing = "missing";

/// What is wrong with the file of an object; empty if nothing is.
std::string object_problem(const fs::path& file, const std::string& sha256, int64_t size) {
  struct stat status {};
  // lstat: a link or a pipe in the place of a file is a problem, not something to follow or to wait for.
  if (lstat(file.c_str(), &status) != 0) return kMissing;
  if (!S_ISREG(status.st_mode)) return "not a plain file";
  if (status.st_size != size) return fmt::format("{} bytes, expected {}", status.st_size, size);
  const std::string found = sha256_file(file);
  return found == sha256 ? "" : "changed, its sha256 is " + found;
}

}  // namespace

std::vector<std::string> Store::quarantine() {
  std::vector<std::string> moved;
  Statement objects = impl_->db.prepare("SELECT sha256, size_bytes FROM objects ORDER BY sha256");
  while (objects.step()) {
    const fs::path name = relative_object(objects.text(0)), file = impl_->folder / name;
    const std::string problem = object_problem(file, objects.text(0), objects.integer(1));
    if (problem.empty() || problem == kMissing) continue;
    fs::path aside = impl_->folder / "quarantine" / file.filename();
    for (int n = 2; fs::exists(fs::symlink_status(aside)); ++n) {
      aside.replace_filename(fmt::format("{}.{}", file.filename().string(), n));
    }
    std::error_code error;
    fs::create_directories(aside.parent_path(), error);
    if (!error) fs::rename(file, aside, error);
    if (error) throw StoreError(fmt::format("{} cannot be set aside: {}", file.string(), error.message()));
    moved.push_back(fmt::format("{}: {}; now {}", name.string(), problem,
                                aside.lexically_relative(impl_->folder).string()));
  }
  return moved;
}

std::vector<std::string> Store::check() const {
  std::vector<std::string> problems;
  const Database& db = impl_->db;
  Statement integrity = db.prepare("PRAGMA integrity_check");
  while (integrity.step()) {
    if (integrity.text(0) != "ok") problems.push_back("store.db: " + integrity.text(0));
  }
  Statement keys = db.prepare("PRAGMA foreign_key_check");
  while (keys.step()) {
    problems.push_back(fmt::format("store.db: row {} of {} refers to a row of {} that is not there", keys.text(1),
                                   keys.text(0), keys.text(2)));
  }
  std::set<fs::path> known;
  Statement objects = db.prepare("SELECT sha256, size_bytes FROM objects ORDER BY sha256");
  while (objects.step()) {
    const fs::path name = relative_object(objects.text(0));
    const fs::path file = impl_->folder / name;
    known.insert(file);
    if (const std::string problem = object_problem(file, objects.text(0), objects.integer(1)); !problem.empty()) {
      problems.push_back(fmt::format("{}: {}", name.string(), problem));
    }
  }
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(impl_->folder / "objects", ignored)) {
    if (entry.is_directory() && !entry.is_symlink()) continue;
    if (!known.contains(entry.path())) {
      problems.push_back(
          fmt::format("{}: unknown to the store", entry.path().lexically_relative(impl_->folder).string()));
    }
  }
  for (const std::string& problem : feature_problems(impl_->folder)) problems.push_back(problem);
  return problems;
}

std::vector<Garbage> Store::gc(bool dry_run, std::chrono::seconds min_age) {
  Database& db = impl_->db;
  Transaction transaction(db);
  std::vector<Garbage> garbage;
  std::vector<std::string> rows;
  const int64_t newest_ms = now_ms() - std::chrono::milliseconds(min_age).count();
  Statement unused = db.prepare(
      "SELECT sha256, size_bytes FROM objects o WHERE created_ms <= ? "
      "AND NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.sha256 = o.sha256) "
      "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.adapter_sha256 = o.sha256) ORDER BY sha256");
  unused.bind(newest_ms);
  while (unused.step()) {
    rows.push_back(unused.text(0));
    garbage.push_back({relative_object(unused.text(0)).string(), unused.integer(1)});
  }
  // Files without a row: what a killed writer left.
  Statement known = db.prepare("SELECT 1 FROM objects WHERE sha256 = ?");
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(impl_->folder / "objects", ignored)) {
    if (!entry.is_regular_file() || entry.is_symlink()) continue;
    const std::string name = entry.path().filename().string();
    const bool has_row = known.bind(name).step();
    known.run();
    const auto age = fs::file_time_type::clock::now() - entry.last_write_time();
    if (has_row || age < min_age) continue;
    garbage.push_back(
        {entry.path().lexically_relative(impl_->folder).string(), static_cast<int64_t>(entry.file_size())});
  }
  for (Garbage& file : feature_files(impl_->folder)) garbage.push_back(std::move(file));
  if (dry_run) return garbage;
  // The file goes first: a crash leaves a row that check() reports, never a row gone and a file that nobody knows.
  for (const Garbage& item : garbage) {
    const fs::path file = impl_->folder / item.file;
    if (unlink(file.c_str()) != 0 && errno != ENOENT) fail("cannot delete", file);
  }
  for (const std::string& sha256 : rows) db.prepare("DELETE FROM objects WHERE sha256 = ?").bind(sha256).run();
  transaction.commit();
  return garbage;
}

void Store::backup(const std::filesystem::path& target) const {
  std::error_code error;
  if (fs::exists(target, error)) throw StoreError(fmt::format("{} is already there", target.string()));
  if (!fs::create_directories(target / "objects", error)) {
    throw StoreError(fmt::format("cannot make {}: {}", target.string(), error.message()));
  }
  Database copy(file_uri(target / "store.db", "mode=rwc"), SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  sqlite3_backup* work = sqlite3_backup_init(copy.handle(), "main", impl_->db.handle(), "main");
  if (!work) throw_sqlite(copy.handle(), sqlite3_errcode(copy.handle()), "starting a backup");
  const int rc = sqlite3_backup_step(work, -1);
  sqlite3_backup_finish(work);
  if (rc != SQLITE_DONE) throw_sqlite(copy.handle(), rc, "writing the backup");
  Statement objects = copy.prepare("SELECT sha256 FROM objects");
  while (objects.step()) {
    const fs::path name = relative_object(objects.text(0));
    fs::create_directories((target / name).parent_path(), error);
    fs::copy_file(impl_->folder / name, target / name, error);
    if (error) throw StoreError(fmt::format("cannot copy {}: {}", name.string(), error.message()));
  }
}

}  // namespace peftlab::store
