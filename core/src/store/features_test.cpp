/// The care of features/, written here by hand as train/shared_features.h writes it.

#include "store/features.h"

#include "store/test_store.h"
#include "support/files.h"
#include "support/sha256.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace peftlab::store {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StoreTest;

/// A safetensors file of two bytes that says they have this sha256.
std::string file_of(const std::string& two, const std::string& sha256) {
  const std::string head = R"({"__metadata__":{"made_from":"{}","sha256":")" + sha256 +
                           R"("},"features":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
  return std::string(1, static_cast<char>(head.size() & 0xFF)) + std::string(1, static_cast<char>(head.size() >> 8)) +
         std::string(6, '\0') + head + two;
}

class FeaturesTest : public StoreTest {
 protected:
  FeaturesTest() { fs::create_directories(path() / "features"); }

  void put(const std::string& name, const std::string& bytes) { write_text(path() / "features" / name, bytes); }
};

TEST_F(FeaturesTest, AreGarbageHoweverYoungAndNothingElseIs) {
  const std::string young = store_.put_object("young");
  put("b.safetensors", file_of("ab", sha256_hex("ab")));
  put("a.lock", "");
  const auto listed = store_.gc(/*dry_run=*/true);
  ASSERT_EQ(listed.size(), 2u);
  EXPECT_EQ(listed[0].file, "features/a.lock");
  EXPECT_EQ(listed[1].file, "features/b.safetensors");
  EXPECT_EQ(listed[1].size_bytes, static_cast<int64_t>(fs::file_size(path() / "features/b.safetensors")));
  EXPECT_TRUE(fs::exists(path() / "features/b.safetensors"));
  EXPECT_EQ(store_.gc(/*dry_run=*/false).size(), 2u);
  EXPECT_TRUE(fs::is_empty(path() / "features"));
  EXPECT_EQ(store_.get_object(young), "young");
}

TEST_F(FeaturesTest, CheckNamesThoseThatAreDamaged) {
  put("good.safetensors", file_of("ab", sha256_hex("ab")));
  put("good.safetensors.part-1", "of a writer that works");
  put("good.lock", "");
  EXPECT_THAT(store_.check(), IsEmpty());
  const std::string whole = file_of("ab", sha256_hex("ab"));
  put("changed.safetensors", file_of("aB", sha256_hex("ab")));
  put("cut.safetensors", whole.substr(0, whole.size() - 1));
  put("empty.safetensors", "");
  put("head.safetensors", whole.substr(0, 40));
  put("long.safetensors", std::string(8, '\x7f') + whole);
  put("text.safetensors", std::string("\x04\0\0\0\0\0\0\0", 8) + "textab");
  put("unsaid.safetensors", std::string("\x02\0\0\0\0\0\0\0", 8) + "{}ab");
  EXPECT_THAT(store_.check(),
              ElementsAre("features/changed.safetensors: its bytes were changed; a run that wants it makes it again",
                          HasSubstr("features/cut.safetensors: its bytes"), HasSubstr("empty.safetensors: its head"),
                          HasSubstr("head.safetensors: its head was"), HasSubstr("long.safetensors: its head was"),
                          HasSubstr("text.safetensors: "), HasSubstr("unsaid.safetensors: its head says no")));
}

TEST_F(FeaturesTest, WithoutAFolderThereIsNothingToSay) {
  fs::remove_all(path() / "features");
  EXPECT_THAT(store_.gc(/*dry_run=*/true), IsEmpty());
  EXPECT_THAT(store_.check(), IsEmpty());
}

}  // namespace
}  // namespace peftlab::store
