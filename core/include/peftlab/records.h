#pragma once

/// \file
/// The records of a data file, one by one: CSV, JSON lines, or a JSON array of objects. The file may be larger than
/// memory: it is gone through once when it is opened, and what is asked for later is read and parsed again.

#include <peftlab/export.h>
#include <peftlab/value.h>

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace peftlab {

/// By the file's ending: .csv is RFC 4180 in UTF-8 with a header line; .json, .jsonl and .ndjson hold an object a line,
/// or one array of objects. A byte order mark is skipped, lines may end in CR LF, empty lines are no records.
class PEFTLAB_API Records {
 public:
  /// What is told on the only pass over the whole file. Any may be left out. An exception ends the pass.
  struct Watch {
    /// The names in a CSV file's header, and its line.
    std::function<void(const std::vector<std::string>& columns, int64_t line)> header = {};
    /// A record, and the line it begins at, from 1. Of CSV all values are strings.
    std::function<void(const Table& fields, int64_t line)> record = {};
    /// All bytes of the file, piece by piece: for a checksum.
    std::function<void(std::string_view bytes)> bytes = {};
  };

  static constexpr int64_t kMaxBytes = int64_t{64} << 20;  ///< of one record

  /// Opens `file` and goes through it.
  /// Throws: FormatError naming file, line and what is wrong: no such file, another ending, bytes that are no UTF-8 or
  /// 0, text that is no JSON or no CSV, a column named twice, too few or too many fields, no record, one too long.
  explicit Records(const std::filesystem::path& file, const Watch& watch);
  Records(Records&& other) noexcept;
  Records& operator=(Records&&) = delete;
  ~Records();

  int64_t size() const { return static_cast<int64_t>(entries_.size()); }

  /// Record `index`, parsed again. May be called from several threads at once.
  /// Throws: FormatError if the file has changed since it was opened.
  Table fields(int64_t index) const;

  /// Where record `index` begins, "data.csv:17".
  std::string place(int64_t index) const;

 private:
  class Pass;

  struct Entry {
    int64_t offset;
    int64_t line;
    int64_t bytes;
    size_t hash;  // of these bytes
  };

  std::string file_;
  bool csv_ = false;
  int descriptor_ = -1;
  std::vector<std::string> columns_;  // of CSV
  std::vector<Entry> entries_;
};

/// "a, b, c": names for a message.
PEFTLAB_API std::string joined(const std::vector<std::string>& names);

}  // namespace peftlab
