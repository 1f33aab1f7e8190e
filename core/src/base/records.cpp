#include "record_text.h"

#include <peftlab/error.h>
#include <peftlab/records.h>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <utility>

namespace peftlab {

using records::fail;
using records::malformed_utf8;
using records::parse_at;
using records::split_csv;
using records::table_of;

namespace {

/// Up to `size` bytes at `offset`; fewer at the file's end only.
size_t read_at(int descriptor, const std::string& file, int64_t offset, char* to, size_t size) {
  size_t done = 0;
  while (done < size) {
    const ssize_t n = ::pread(descriptor, to + done, size - done, offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw FormatError(file + ": cannot be read: " + std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == std::string_view::npos; }

}  // namespace

/// The one pass over a file: cuts it into records, checks each and notes where it lies.
class Records::Pass {
 public:
  Pass(Records& records, const Watch& watch) : records_(records), file_(records.file_), watch_(watch) {}

  void run() {
    fill();
    if (next_ + 3 <= buffer_.size() && std::string_view(buffer_).starts_with("\xEF\xBB\xBF")) next_ = 3;
    if (records_.csv_) {
      go_through_csv();
    } else {
      while (const char* c = peek()) {
        if (!is_blank({c, 1})) break;
        take();
      }
      const char* first = peek();
      first&&* first == '[' ? go_through_array() : go_through_lines();
    }
    if (records_.entries_.empty()) throw FormatError(file_ + ": holds no examples");
  }

 private:
  void fill() {
    before_ += static_cast<int64_t>(buffer_.size());
    buffer_.resize(size_t{1} << 20);
    buffer_.resize(read_at(records_.descriptor_, file_, before_, buffer_.data(), buffer_.size()));
    next_ = 0;
    if (watch_.bytes) watch_.bytes(buffer_);
  }

  /// The next byte, or nullptr at the file's end.
  const char* peek() {
    if (next_ == buffer_.size() && !buffer_.empty()) fill();
    return next_ < buffer_.size() ? &buffer_[next_] : nullptr;
  }

  void take() {
    const char c = buffer_[next_++];
    if (c == '\0') fail(file_, line_, "holds a byte that is 0: wanted is text in UTF-8");
    if ((c & 0xC0) != 0x80) ++column_;
    if (c == '\n') ++line_, column_ = 1;
  }

  void begin() {
    text_.clear();
    offset_ = before_ + static_cast<int64_t>(next_);
    begins_at_line_ = line_;
    begins_at_column_ = column_;
  }

  void append() {
    text_ += buffer_[next_];
    if (static_cast<int64_t>(text_.size()) > kMaxBytes) {
      fail(file_, begins_at_line_, "a record begins here that is longer than 64 MiB");
    }
    take();
  }

  void check_utf8() const {
    const size_t wrong = malformed_utf8(text_);
    if (wrong == std::string::npos) return;
    fail(file_, begins_at_line_ + std::count(text_.begin(), text_.begin() + static_cast<ptrdiff_t>(wrong), '\n'),
         "is not UTF-8 here");
  }

  void add(const Table& fields) {
    if (watch_.record) watch_.record(fields, begins_at_line_);
    records_.entries_.push_back(
        {offset_, begins_at_line_, static_cast<int64_t>(text_.size()), std::hash<std::string_view>()(text_)});
  }

  void add_json() {
    check_utf8();
    add(table_of(file_, begins_at_line_, parse_at(file_, begins_at_line_, begins_at_column_, text_)));
  }

  void go_through_lines() {
    while (peek()) {
      begin();
      for (const char* c = peek(); c && *c != '\n'; c = peek()) append();
      if (peek()) take();
      if (!is_blank(text_)) add_json();
    }
  }

  void go_through_array() {
    const int64_t opened = line_;
    take();
    for (bool first = true;; first = false) {
      skip_blanks();
      if (const char* c = peek(); first && c && *c == ']') break;
      begin();
      cut_element();
      while (!text_.empty() && is_blank({&text_.back(), 1})) text_.pop_back();
      const char* end = peek();
      // What is cut short is no JSON as a rule, and then that is what is told, with its place.
      if (text_.empty() && end) fail(file_, line_, std::string("an element is missing in front of \"") + *end + "\"");
      if (!text_.empty()) add_json();
      if (!end) fail(file_, opened, "an array begins here and is never closed");
      if (*end == ']') break;
      take();
    }
    take();
    skip_blanks();
    if (peek()) fail(file_, line_, "after the array's end there is more text");
  }

  /// Appends the bytes up to the comma or bracket that ends an element of the array.
  void cut_element() {
    int64_t depth = 0;
    bool in_string = false;
    while (const char* at = peek()) {
      const char c = *at;
      if (!in_string && depth <= 0 && (c == ',' || c == ']')) return;
      if (c == '"') in_string = !in_string;
      if (!in_string && (c == '[' || c == '{')) ++depth;
      if (!in_string && (c == ']' || c == '}')) --depth;
      append();
      if (in_string && c == '\\' && peek()) append();
    }
  }

  void skip_blanks() {
    for (const char* c = peek(); c && is_blank({c, 1}); c = peek()) take();
  }

  void go_through_csv() {
    while (peek()) {
      begin();
      cut_csv();
      check_utf8();
      if (text_.empty()) continue;
      std::vector<std::string> fields = split_csv(file_, begins_at_line_, text_);
      if (records_.columns_.empty()) {
        take_header(std::move(fields));
      } else {
        add(table_of(file_, begins_at_line_, records_.columns_, std::move(fields)));
      }
    }
    if (records_.columns_.empty()) fail(file_, 1, "is empty: its first line must name the columns");
  }

  /// Appends a record's bytes, and takes the end of its last line, which is outside quotes.
  void cut_csv() {
    enum { field_begins, unquoted, quoted, closed } state = field_begins;
    int64_t quoted_at = line_;
    while (const char* at = peek()) {
      const char c = *at;
      if (c == '\n' && state != quoted) break;
      if (state == quoted) {
        if (static_cast<int64_t>(text_.size()) == kMaxBytes) {
          fail(file_, quoted_at, "a quoted field begins here and is not closed within 64 MiB");
        }
        if (c == '"') state = closed;
      } else if (c == '"' && state != unquoted) {
        // Behind a closing quote it is a doubled one, which stands for itself.
        if (state == field_begins) quoted_at = line_;
        state = quoted;
      } else {
        state = c == ',' ? field_begins : unquoted;
      }
      append();
    }
    if (peek()) take();
    if (state != quoted && !text_.empty() && text_.back() == '\r') text_.pop_back();
  }

  void take_header(std::vector<std::string> columns) {
    for (const std::string& name : columns) {
      if (std::count(columns.begin(), columns.end(), name) > 1) {
        fail(file_, begins_at_line_, "names column \"" + name + "\" twice");
      }
    }
    records_.columns_ = std::move(columns);
    if (watch_.header) watch_.header(records_.columns_, begins_at_line_);
  }

  Records& records_;
  const std::string& file_;
  const Watch& watch_;
  std::string buffer_;
  int64_t before_ = 0;  // bytes of the file in front of the buffer
  size_t next_ = 0;     // of the buffer
  int64_t line_ = 1, column_ = 1;
  std::string text_;  // of the record that is being cut out, and where it begins
  int64_t offset_ = 0, begins_at_line_ = 1, begins_at_column_ = 1;
};

Records::Records(const std::filesystem::path& file, const Watch& watch) : file_(file.string()) {
  const std::string ending = file.extension().string();
  csv_ = ending == ".csv";
  if (!csv_ && ending != ".json" && ending != ".jsonl" && ending != ".ndjson") {
    throw FormatError(file_ + ": its name ends in \"" + ending + "\"; read are .csv, .json, .jsonl and .ndjson");
  }
  // Without O_NONBLOCK, opening a named pipe would wait for its writer.
  descriptor_ = ::open(file_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw FormatError(file_ + ": cannot be read: " + std::strerror(errno));
  try {
    struct stat status = {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
      throw FormatError(file_ + ": is no regular file, which can be read at any place");
    }
    Pass(*this, watch).run();
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

Records::Records(Records&& other) noexcept
    : file_(std::move(other.file_)),
      csv_(other.csv_),
      descriptor_(std::exchange(other.descriptor_, -1)),
      columns_(std::move(other.columns_)),
      entries_(std::move(other.entries_)) {}

Records::~Records() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Table Records::fields(int64_t index) const {
  const Entry& entry = entries_.at(static_cast<size_t>(index));
  std::string text(static_cast<size_t>(entry.bytes), '\0');
  const size_t read = read_at(descriptor_, file_, entry.offset, text.data(), text.size());
  if (read != text.size() || std::hash<std::string_view>()(text) != entry.hash) {
    fail(file_, entry.line, "has changed since the file was opened");
  }
  if (csv_) return table_of(file_, entry.line, columns_, split_csv(file_, entry.line, text));
  return table_of(file_, entry.line, parse_at(file_, entry.line, 1, text));
}

std::string Records::place(int64_t index) const {
  return file_ + ":" + std::to_string(entries_.at(static_cast<size_t>(index)).line);
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace peftlab
