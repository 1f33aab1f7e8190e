#include "support/sha256.h"

#include <peftlab/error.h>

#include <openssl/evp.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <vector>

namespace peftlab {
namespace {

/// A sum over bytes that come in pieces.
class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
    check(context_ != nullptr && EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
  }

  void add(const void* bytes, size_t size) { check(EVP_DigestUpdate(context_.get(), bytes, size) == 1); }

  std::string hex() {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    check(EVP_DigestFinal_ex(context_.get(), digest, &size) == 1);
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text;
    for (unsigned i = 0; i < size; ++i) {
      text += kDigits[digest[i] >> 4];
      text += kDigits[digest[i] & 0xF];
    }
    return text;
  }

 private:
  static void check(bool ok) {
    if (!ok) {
      throw Error("OpenSSL cannot compute a sha256");
    }
  }

  std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Sha256 sum;
  sum.add(bytes.data(), bytes.size());
  return sum.hex();
}

std::string sha256_file(const std::filesystem::path& path, int64_t from) {
  const auto fail = [&](const char* what) {
    throw FormatError(path.string() + ": cannot " + what + " it for its checksum: " + std::strerror(errno));
  };
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), std::fclose);
  if (file == nullptr) {
    fail("open");
  }
  if (from > 0 && fseeko(file.get(), from, SEEK_SET) != 0) {
    fail("read");
  }
  Sha256 sum;
  std::vector<char> chunk(size_t{1} << 20);
  while (const size_t n = std::fread(chunk.data(), 1, chunk.size(), file.get())) {
    sum.add(chunk.data(), n);
  }
  if (std::ferror(file.get()) != 0) {
    fail("read");
  }
  return sum.hex();
}

}  // namespace peftlab
