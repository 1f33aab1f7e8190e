/// Files of features: what is used, what is computed again, and who waits for whom.

#include "train/shared_features.h"

#include "support/files.h"

#include <peftlab/error.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/torch.h>

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <limits>
#include <thread>

namespace peftlab::train {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int64_t kRows = 6;

class SharedFeaturesTest : public ::testing::Test {
 protected:
  SharedFeaturesTest() : folder_(fs::path(::testing::TempDir()) / ("features_" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
  }
  ~SharedFeaturesTest() override {
    ::chmod(folder_.c_str(), 0755);
    fs::remove_all(folder_);
  }

  /// As another process would have it: nothing opened yet.
  SharedFeatures fresh(const Table& made_from = {{"base", "b"}}) {
    return {folder_, [made_from] { return made_from; }, [this](const std::string& line) { told_.push_back(line); }};
  }

  /// Rows 0 to 5 of `width` numbers each, counted from `from`.
  static torch::Tensor numbers(int64_t width = 2, float from = 0) {
    return from + torch::arange(kRows * width, torch::kFloat32).view({kRows, width});
  }

  /// `rows` from `shared`; whether all of them had to be computed stands in computed_.
  torch::Tensor asked(const SharedFeatures& shared, const torch::Tensor& rows = numbers(), const Table& own = {}) {
    computed_ = false;
    return shared.of(own, {.rows = rows.size(0),
                           .first = [&] { return rows.slice(0, 0, 2).clone(); },
                           .all =
                               [&](const torch::Tensor& first) {
                                 computed_ = true;
                                 EXPECT_EQ(first.size(0), 2);
                                 return rows.clone();
                               },
                           .stop = {}});
  }

  fs::path only_file() const {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder_)) files.push_back(entry.path());
    EXPECT_EQ(files.size(), 1u);
    return files.empty() ? fs::path() : files.front();
  }

  /// Has `change` done to the file, which then must be told, computed again and replaced by a good one.
  void expect_replaced(const std::string& why, const std::function<void(const fs::path&)>& change) {
    SCOPED_TRACE(why);
    asked(fresh());
    change(only_file());
    told_.clear();
    EXPECT_TRUE(torch::equal(asked(fresh()), numbers()));
    EXPECT_TRUE(computed_);
    EXPECT_THAT(told_, ElementsAre(HasSubstr(why)));
    told_.clear();
    EXPECT_TRUE(torch::equal(asked(fresh()), numbers()));
    EXPECT_FALSE(computed_) << "a good one lies there";
    EXPECT_THAT(told_, IsEmpty());
  }

  const fs::path folder_;
  std::vector<std::string> told_;
  bool computed_ = false;
};

TEST_F(SharedFeaturesTest, WhatOneComputedAnotherReads) {
  const torch::Tensor cold = asked(fresh());
  EXPECT_TRUE(computed_);
  EXPECT_TRUE(torch::equal(cold, numbers()));
  const torch::Tensor warm = asked(fresh());
  EXPECT_FALSE(computed_);
  EXPECT_TRUE(torch::equal(warm, numbers()));
  EXPECT_EQ(only_file().extension(), ".safetensors");
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(SharedFeaturesTest, WithoutAFolderEveryoneComputes) {
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(torch::equal(asked(SharedFeatures()), numbers()));
    EXPECT_TRUE(computed_);
  }
}

TEST_F(SharedFeaturesTest, WhatAnythingDependsOnNamesAFileOfItsOwn) {
  asked(fresh());
  const auto expect_another = [&](const SharedFeatures& shared, const Table& own) {
    asked(shared, numbers(), own);
    EXPECT_TRUE(computed_);
    asked(fresh());
    EXPECT_FALSE(computed_);
  };
  expect_another(fresh({{"base", "another"}}), {});
  expect_another(fresh().with({{"data", "d"}}), {});
  expect_another(fresh().with({{"data", "another"}}), {});
  expect_another(fresh(), {{"pictures_together", 16}});
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 5);
}

TEST_F(SharedFeaturesTest, ADamagedFileIsToldComputedAgainAndReplaced) {
  const auto change_byte = [](const fs::path& file, std::streamoff from_end) {
    std::fstream bytes(file, std::ios::in | std::ios::out | std::ios::binary);
    bytes.seekg(-from_end, std::ios::end);
    const auto before = static_cast<char>(bytes.get());
    bytes.seekp(-from_end, std::ios::end);
    bytes.put(static_cast<char>(before ^ 1));
  };
  expect_replaced("its bytes were changed", [&](const fs::path& file) { change_byte(file, 1); });
  expect_replaced("lie outside", [](const fs::path& file) { fs::resize_file(file, fs::file_size(file) - 4); });
  expect_replaced("not safetensors", [](const fs::path& file) { fs::resize_file(file, 0); });
  expect_replaced("not safetensors", [](const fs::path& file) { write_text(file, "no tensors at all"); });
  expect_replaced("is no plain file", [](const fs::path& file) {
    fs::remove(file);
    ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  });
}

TEST_F(SharedFeaturesTest, AFileOfSomethingElseIsComputedAgainAndReplaced) {
  // Whole files, under a name that is not theirs.
  expect_replaced("made from something else", [&](const fs::path& file) {
    const fs::path aside = folder_.string() + "_aside";
    fs::rename(file, aside);
    asked(fresh({{"base", "another"}}));
    fs::rename(only_file(), file);
    fs::remove(aside);
  });
  // Of another shape, another type, and other numbers from the first row on.
  for (const torch::Tensor& other : {numbers(3), numbers().to(torch::kFloat64), numbers(2, 1), numbers().slice(0, 1)}) {
    expect_replaced("is not what the model computes now", [&](const fs::path& file) {
      fs::remove(file);
      asked(fresh(), other);
    });
  }
}

TEST_F(SharedFeaturesTest, NotANumberIsEqualToItself) {
  const torch::Tensor rows = torch::full({kRows, 2}, std::numeric_limits<float>::quiet_NaN());
  asked(fresh(), rows);
  asked(fresh(), rows);
  EXPECT_FALSE(computed_);
}

TEST_F(SharedFeaturesTest, WhatCannotBeWrittenIsToldAndUsed) {
  const auto expect_told = [&](const std::string& why) {
    told_.clear();
    EXPECT_TRUE(torch::equal(asked(fresh()), numbers()));
    EXPECT_TRUE(computed_);
    EXPECT_THAT(told_, ElementsAre(HasSubstr(why)));
  };
  write_text(folder_, "a file where the folder should be");
  expect_told("Not a directory");
  fs::remove(folder_);
  if (::geteuid() != 0) {  // root may write anywhere
    fs::create_directories(folder_);
    ::chmod(folder_.c_str(), 0555);
    expect_told("Permission denied");
    ::chmod(folder_.c_str(), 0755);
  }
}

TEST_F(SharedFeaturesTest, AFullDiskIsToldAndLeavesNothing) {
  // /dev/full says of every write that the disk is full.
  asked(fresh());
  const fs::path file = only_file();
  fs::remove(file);
  fs::create_symlink("/dev/full", file.string() + ".part-" + std::to_string(::getpid()));
  EXPECT_TRUE(torch::equal(asked(fresh()), numbers()));
  EXPECT_THAT(told_, ElementsAre(HasSubstr("No space left")));
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(SharedFeaturesTest, WhatIsTooMuchIsNotComputed) {
  const torch::Tensor first = torch::zeros({1, 1024});
  const torch::Tensor found = fresh().of({}, {.rows = kMostKept / 4096 + 1,  // 4096 bytes each
                                              .first = [&] { return first; },
                                              .all = [&](const auto&) -> torch::Tensor { throw Error("was computed"); },
                                              .stop = {}});
  EXPECT_FALSE(found.defined());
  EXPECT_FALSE(fs::exists(folder_));
}

/// A process that computes `numbers()`, and says by the file begun() that it does; it goes on when end() is there. It ends
/// with this object at the latest.
class SlowProcess {
 public:
  explicit SlowProcess(const SharedFeatures& shared) {
    fs::remove(begun()), fs::remove(end());
    const torch::Tensor rows = torch::arange(kRows * 2, torch::kFloat32).view({kRows, 2});
    const fs::path has_begun = begun(), may_end = end();
    id_ = ::fork();
    if (id_ == 0) {
      shared.of({}, {.rows = kRows,
                     .first = [&] { return rows.slice(0, 0, 2); },
                     .all =
                         [&](const torch::Tensor&) {
                           std::ofstream(has_begun) << "begun";
                           while (!fs::exists(may_end)) std::this_thread::sleep_for(std::chrono::milliseconds(1));
                           return rows;
                         },
                     .stop = {}});
      ::_exit(0);
    }
    while (!fs::exists(begun())) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ~SlowProcess() {
    signal(SIGKILL);
    ended();
    fs::remove(begun()), fs::remove(end());
  }

  void signal(int number) const {
    if (id_ > 0) ::kill(id_, number);
  }
  void go_on() const { std::ofstream(end()) << "now"; }
  /// Waits for its end; what waitpid() says of it.
  int ended() {
    int status = 0;
    if (id_ > 0) ::waitpid(id_, &status, 0);
    id_ = 0;
    return status;
  }

 private:
  static fs::path begun() { return fs::path(::testing::TempDir()) / ("begun_" + std::to_string(::getpid())); }
  static fs::path end() { return fs::path(::testing::TempDir()) / ("end_" + std::to_string(::getpid())); }

  pid_t id_ = 0;
};

TEST_F(SharedFeaturesTest, OfTwoProcessesOneComputesAndTheOtherWaits) {
  SlowProcess other(fresh());
  bool has_waited = false;
  const torch::Tensor rows = numbers();
  const torch::Tensor found =
      fresh().of({}, {.rows = kRows,
                      .first = [&] { return rows.slice(0, 0, 2); },
                      .all = [&](const auto&) -> torch::Tensor { throw Error("both computed it"); },
                      .stop =
                          [&] {
                            has_waited = true;
                            other.go_on();
                            return false;
                          }});
  EXPECT_TRUE(has_waited);
  EXPECT_TRUE(torch::equal(found, numbers()));
  EXPECT_EQ(other.ended(), 0);
  EXPECT_EQ(only_file().extension(), ".safetensors") << "no lock is left";
}

TEST_F(SharedFeaturesTest, WhoIsKilledLeavesTheTurnToTheNext) {
  SlowProcess other(fresh());
  bool is_killed = false;
  const torch::Tensor rows = numbers();
  fresh().of({}, {.rows = kRows,
                  .first = [&] { return rows.slice(0, 0, 2); },
                  .all =
                      [&](const auto&) {
                        EXPECT_TRUE(is_killed);
                        computed_ = true;
                        return rows;
                      },
                  .stop =
                      [&] {
                        is_killed = true;
                        other.signal(SIGKILL);
                        other.ended();
                        return false;
                      }});
  EXPECT_TRUE(computed_);
  asked(fresh());
  EXPECT_FALSE(computed_);
}

TEST_F(SharedFeaturesTest, WhoWaitsCanBeStopped) {
  const SlowProcess other(fresh());
  const torch::Tensor rows = numbers();
  EXPECT_THROW(fresh().of({}, {.rows = kRows,
                               .first = [&] { return rows.slice(0, 0, 2); },
                               .all = [&](const auto&) { return rows; },
                               .stop = [] { return true; }}),
               Stopped);
}

TEST_F(SharedFeaturesTest, WhoIsHeldUpIsNotWaitedForWithoutEnd) {
  const SlowProcess other(fresh());
  other.signal(SIGSTOP);
  EXPECT_TRUE(torch::equal(asked(fresh()), numbers()));
  EXPECT_TRUE(computed_);
}

}  // namespace
}  // namespace peftlab::train
