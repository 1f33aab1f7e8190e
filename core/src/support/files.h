#pragma once

/// \file
/// Files that appear whole or not at all.

#include <filesystem>
#include <string>
#include <string_view>

namespace peftlab {

/// A file written beside its final place and moved there by commit(), after a sync. Without commit() nothing is left.
/// Throws: FormatError with the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(std::filesystem::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t bytes);
  void commit();

 private:
  [[noreturn]] void fail(const char* what) const;

  std::filesystem::path path_, temporary_;
  int file_ = -1;
};

/// Writes `text` as the whole file.
void write_text(const std::filesystem::path& path, std::string_view text);

/// The whole file as text. Throws: FormatError if it cannot be read or is longer than `limit` bytes.
std::string read_text(const std::filesystem::path& path, size_t limit = size_t{256} << 20);

}  // namespace peftlab
