#include "support/sha256.h"

#include <peftlab/error.h>

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>

namespace peftlab {
namespace {

// The digests are those of FIPS 180-2's examples, and what `sha256sum` prints.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, AFileInPiecesIsTheFileAtOnce) {
  const std::string bytes = std::string(3 * (1 << 20) + 7, 'a') + std::string(1, '\0') + "end";
  const auto path = std::filesystem::path(::testing::TempDir()) / "peftlab_sha256_test.bin";
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(sha256_file(path), sha256_hex(bytes));
  EXPECT_EQ(sha256_file(path, 5), sha256_hex(bytes.substr(5)));
  std::filesystem::remove(path);
}

TEST(Sha256, AFileThatCannotBeReadIsAnError) {
  EXPECT_THROW(sha256_file("/no/such/file"), FormatError);
  EXPECT_THROW(sha256_file(::testing::TempDir()), FormatError);  // a folder opens, but does not read
}

}  // namespace
}  // namespace peftlab
