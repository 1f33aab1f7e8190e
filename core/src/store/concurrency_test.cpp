/// Several processes on one store, and what a killed one leaves.

#include "store/file_system.h"
#include "store/test_store.h"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>

namespace peftlab::store {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::StoreTest;

/// Writes batches of three points, steps from 1, until `batches` are there; a byte to `acknowledge` after each.
[[noreturn]] void write_points(const std::filesystem::path& folder, const std::string& run, int64_t batches,
                               int acknowledge) {
  try {
    Store store = Store::open(folder, Mode::read_write);
    store.start_run(run, 1, "child");
    for (int64_t batch = 0; batch < batches; ++batch) {
      std::vector<MetricPoint> points;
      for (int64_t i = 1; i <= 3; ++i) points.push_back({"train/loss", 3 * batch + i, 0.5});
      store.append_points(run, points);
      if (write(acknowledge, "x", 1) != 1) _exit(2);
    }
    _exit(0);
  } catch (...) {
    _exit(1);
  }
}

TEST_F(StoreTest, TwoProcessesWriteAtOnce) {
  const Id lora = begin({"lora"}).at("lora");
  store_.add_environment({});
  std::vector<std::string> runs;
  std::vector<pid_t> children;
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  for (int seed = 0; seed < 2; ++seed) runs.push_back(store_.create_run(lora, seed, {}));
  for (const std::string& run : runs) {
    const pid_t child = fork();
    if (child == 0) write_points(path(), run, 40, ends[1]);
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  close(ends[0]);
  close(ends[1]);
  for (const std::string& run : runs) EXPECT_EQ(store_.series(run, "train/loss").size(), 120u);
  EXPECT_TRUE(store_.check().empty());
}

TEST_F(StoreTest, TwoProcessesMakeOneStore) {
  const std::filesystem::path fresh = folder_ / "fresh";
  std::vector<pid_t> children;
  for (int i = 0; i < 4; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      try {
        Store::open(fresh, Mode::read_write_create);
        _exit(0);
      } catch (...) {
        _exit(1);
      }
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_TRUE(Store::open(fresh, Mode::read_only).check().empty());
}

TEST_F(StoreTest, AKilledWriterLeavesAGoodStore) {
  const Id lora = begin({"lora"}).at("lora");
  store_.add_environment({});
  for (int64_t kill_after = 1; kill_after <= 4; ++kill_after) {
    const std::string run = store_.create_run(lora, kill_after, {});
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    const pid_t child = fork();
    if (child == 0) write_points(path(), run, 1'000'000, ends[1]);
    close(ends[1]);
    char byte = 0;
    for (int64_t i = 0; i < kill_after; ++i) ASSERT_EQ(read(ends[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    int64_t acknowledged = kill_after;
    while (read(ends[0], &byte, 1) == 1) ++acknowledged;
    close(ends[0]);
    // Every batch that was acknowledged is there, and none in part.
    const size_t found = store_.series(run, "train/loss").size();
    EXPECT_GE(found, static_cast<size_t>(3 * acknowledged));
    EXPECT_EQ(found % 3, 0u);
    EXPECT_TRUE(store_.check().empty());
    EXPECT_THAT(store_.fail_dead_runs(), ElementsAre(run));
  }
}

TEST_F(StoreTest, ObjectsAreFilesNamedByTheirBytes) {
  // sha256sum of "abc", FIPS 180-2, appendix B.1.
  const std::string abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  EXPECT_EQ(store_.put_object("abc"), abc);
  EXPECT_EQ(store_.put_object("abc"), abc);
  std::ofstream(folder_ / "file") << "abc";
  EXPECT_EQ(store_.put_object_file(folder_ / "file"), abc);
  EXPECT_EQ(store_.get_object(abc), "abc");
  EXPECT_EQ(store_.object_path(abc), path() / "objects" / "ba" / abc);
  const auto permissions = std::filesystem::status(store_.object_path(abc)).permissions();
  EXPECT_EQ(permissions, std::filesystem::perms(0444));
  EXPECT_THROW(store_.object_path("../../etc/passwd"), StoreError);
  EXPECT_THROW(store_.get_object(testing::sha('0')), StoreError);
  EXPECT_THROW(store_.put_object_file(folder_ / "nowhere"), FormatError);
  EXPECT_TRUE(store_.check().empty());
}

TEST_F(StoreTest, CheckNamesWhatIsWrong) {
  const std::string changed = store_.put_object("one"), missing = store_.put_object("two"),
                    cut = store_.put_object("three");
  std::filesystem::permissions(store_.object_path(changed), std::filesystem::perms(0644));
  std::ofstream(store_.object_path(changed)) << "oNe";
  std::filesystem::remove(store_.object_path(missing));
  std::filesystem::permissions(store_.object_path(cut), std::filesystem::perms(0644));
  std::filesystem::resize_file(store_.object_path(cut), 2);
  std::ofstream(path() / "objects" / "stranger") << "x";
  EXPECT_THROW(store_.get_object(changed), StoreError);
  EXPECT_THAT(store_.check(), ::testing::UnorderedElementsAre(
                                  HasSubstr(changed + ": changed"), HasSubstr(missing + ": missing"),
                                  HasSubstr(cut + ": 2 bytes, expected 5"), HasSubstr("stranger: unknown")));
}

TEST_F(StoreTest, WhatIsChangedIsSetAsideAndMayComeAgain) {
  const std::string changed = store_.put_object("one"), sound = store_.put_object("two");
  std::filesystem::permissions(store_.object_path(changed), std::filesystem::perms(0644));
  std::ofstream(store_.object_path(changed)) << "oNe";
  EXPECT_THAT(store_.quarantine(),
              ::testing::ElementsAre(::testing::AllOf(HasSubstr(changed + ": changed"), HasSubstr("now quarantine/" + changed))));
  EXPECT_TRUE(std::filesystem::exists(path() / "quarantine" / changed));
  EXPECT_THAT(store_.check(), ::testing::ElementsAre(HasSubstr(changed + ": missing")));
  EXPECT_THAT(store_.quarantine(), ::testing::IsEmpty());
  EXPECT_EQ(store_.put_object("one"), changed);
  EXPECT_EQ(store_.get_object(changed), "one");
  EXPECT_EQ(store_.get_object(sound), "two");
  EXPECT_THAT(store_.check(), ::testing::IsEmpty());
}

TEST_F(StoreTest, GarbageIsWhatNothingRefersTo) {
  const std::string kept = store_.put_object("kept"), unused = store_.put_object("unused");
  store_.add_artifact(start(begin({"lora"}).at("lora"), 0), "a", "adapter", kept);
  EXPECT_TRUE(store_.gc(true).empty());  // too young: its owner may be about to name it
  ASSERT_EQ(store_.gc(true, std::chrono::seconds(0)).size(), 1u);
  EXPECT_EQ(store_.get_object(unused), "unused");
  const std::vector<Garbage> gone = store_.gc(false, std::chrono::seconds(0));
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].file, "objects/" + unused.substr(0, 2) + "/" + unused);
  EXPECT_EQ(gone[0].size_bytes, 6);
  EXPECT_FALSE(std::filesystem::exists(store_.object_path(unused)));
  EXPECT_EQ(store_.get_object(kept), "kept");
  EXPECT_TRUE(store_.check().empty());
}

TEST_F(StoreTest, ABackupIsAStore) {
  const std::string object = store_.put_object("kept");
  const std::string run = start(begin({"lora"}).at("lora"), 0);
  store_.add_artifact(run, "a", "adapter", object);
  store_.backup(folder_ / "copy");
  const Store copy = Store::open(folder_ / "copy", Mode::read_only);
  EXPECT_EQ(copy.run(run).artifacts.at(0).sha256, object);
  EXPECT_EQ(copy.get_object(object), "kept");
  EXPECT_TRUE(copy.check().empty());
  EXPECT_THROW(store_.backup(folder_ / "copy"), StoreError);
}

TEST_F(StoreTest, AFullDiskIsAnErrorAndWhatWasAcknowledgedIsThere) {
  const std::string run = start(begin({"lora"}).at("lora"), 0);
  int acknowledged[2];
  ASSERT_EQ(pipe(acknowledged), 0);
  const pid_t child = fork();
  if (child == 0) {
    // A disk with room for half a megabyte more: the kernel refuses what goes beyond, as it does where there is no space.
    const rlimit little{512 * 1024, 512 * 1024};
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &little);
    int code = 1;
    try {
      Store store = Store::open(path(), Mode::read_write);
      for (int64_t step = 1; step < 1'000'000; step += 100) {
        std::vector<MetricPoint> points;
        for (int64_t i = 0; i < 100; ++i) points.push_back({"train/loss", step + i, 0.5});
        store.append_points(run, points);
        if (write(acknowledged[1], &step, sizeof step) != sizeof step) _exit(3);
      }
    } catch (const StoreError&) {
      code = 0;
    } catch (...) {
      code = 2;
    }
    _exit(code);
  }
  close(acknowledged[1]);
  int64_t last = 0;
  for (int64_t step = 0; read(acknowledged[0], &step, sizeof step) == sizeof step;) last = step;
  close(acknowledged[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "no StoreError, but " << status;
  EXPECT_GT(last, 1000) << "nothing could be written at all";
  const Store store = Store::open(path(), Mode::read_only);
  EXPECT_GE(store.series(run, "train/loss").size(), static_cast<size_t>(last) + 99);
  EXPECT_TRUE(store.check().empty());
}

TEST(FileSystems, ThoseOfANetworkAreKnown) {
  EXPECT_EQ(network_file_system(0x6969), "NFS");
  EXPECT_EQ(network_file_system(static_cast<int32_t>(0xFF534D42)), "CIFS") << "a number that is negative as an int";
  EXPECT_EQ(network_file_system(0x65735546), "FUSE");
  for (const int64_t local :
       std::vector<int64_t>{0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630}) {  // ext4, xfs, btrfs, tmpfs, overlay
    EXPECT_EQ(network_file_system(local), "");
  }
}

}  // namespace
}  // namespace peftlab::store
