#include "train/paged_memory.h"

#include <peftlab/error.h>

#include <fmt/format.h>

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <string>

namespace peftlab::train {
namespace {

/// An open file that vanishes with its last user; -1 with errno if there can be none.
int open_unnamed(const std::filesystem::path& folder) {
  const int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  // Network file systems and old kernels know no unnamed files: there a name is made and taken away again.
  if (file >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return file;
  std::string name = (folder / "paged-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

class MappedFile final : public PagedMemory {
 public:
  MappedFile(int64_t bytes, const std::filesystem::path& folder) : bytes_(static_cast<size_t>(bytes)) {
    const auto fail = [&](int file, int error) {
      if (file >= 0) ::close(file);
      throw StoreError(
          fmt::format("no room for {} bytes of paged memory in {}: {}", bytes, folder.string(), std::strerror(error)));
    };
    const int file = open_unnamed(folder);
    if (file < 0) fail(file, errno);
    int error = 0;
    do {
      error = ::posix_fallocate(file, 0, static_cast<off_t>(bytes));
    } while (error == EINTR);
    if (error != 0) fail(file, error);
    data_ = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (data_ == MAP_FAILED) fail(file, errno);
    ::close(file);
  }

  ~MappedFile() override { ::munmap(data_, bytes_); }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  void* data() const override { return data_; }
  void ahead(int64_t offset, int64_t bytes) override { advise(offset, bytes, MADV_WILLNEED); }
  // Of a shared mapping this drops no value: the pages leave the process and stay the file's, in memory while there is
  // enough of it.
  void done(int64_t offset, int64_t bytes) override { advise(offset, bytes, MADV_DONTNEED); }

 private:
  /// Advice is about whole pages; a page that neighbours share is faulted in again. A refusal changes no value.
  void advise(int64_t offset, int64_t bytes, int advice) {
    const int64_t page = ::sysconf(_SC_PAGESIZE), begin = offset / page * page;
    ::madvise(static_cast<char*>(data_) + begin, static_cast<size_t>(offset + bytes - begin), advice);
  }

  void* data_ = nullptr;
  size_t bytes_;
};

}  // namespace

std::unique_ptr<PagedMemory> mapped_file(int64_t bytes, const std::filesystem::path& folder) {
  return std::make_unique<MappedFile>(bytes, folder);
}

}  // namespace peftlab::train
