/// What is free on machines, in control groups and in containers.

#include "base/free_memory.h"

#include <gtest/gtest.h>

#include <fstream>

namespace peftlab {
namespace {

namespace fs = std::filesystem;

/// A machine of 8 GB, of which 6 are free.
class FreeMemory : public ::testing::Test {
 protected:
  FreeMemory() {
    fs::remove_all(root);
    write("proc/meminfo", "MemTotal:        8000000 kB\nMemFree:  100 kB\nMemAvailable:    6000000 kB\n");
  }
  ~FreeMemory() override { fs::remove_all(root); }

  void write(const fs::path& path, const std::string& text) const {
    fs::create_directories((root / path).parent_path());
    std::ofstream(root / path) << text;
  }
  void second_version(const fs::path& group, const std::string& limit, const std::string& used) const {
    write("sys/fs/cgroup" / group / "memory.max", limit + "\n");
    write("sys/fs/cgroup" / group / "memory.current", used + "\n");
    write("sys/fs/cgroup" / group / "memory.stat", "anon 5\ninactive_file 1000\nactive_file 200\nfile 7\n");
  }

  const fs::path root = fs::path(::testing::TempDir()) / "free_memory_root";
};

constexpr int64_t kOfMachine = int64_t{6000000} * 1024;

TEST_F(FreeMemory, IsTheMachinesWhereNothingLimitsIt) {
  EXPECT_EQ(free_memory(root), kOfMachine);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_EQ(free_memory(root), kOfMachine);
  second_version("", "max", "3000000");
  EXPECT_EQ(free_memory(root), kOfMachine);
}

TEST_F(FreeMemory, IsWhatTheGroupLeavesWithThePagesOfFiles) {
  write("proc/self/cgroup", "0::/job.slice/run\n");
  second_version("job.slice/run", "1000000", "400000");
  EXPECT_EQ(free_memory(root), 601200);
}

TEST_F(FreeMemory, IsBoundByTheGroupsAround) {
  write("proc/self/cgroup", "0::/job.slice/run\n");
  second_version("job.slice/run", "max", "400000");
  second_version("job.slice", "500000", "450000");
  EXPECT_EQ(free_memory(root), 51200);
}

TEST_F(FreeMemory, IsNeverLessThanNothing) {
  write("proc/self/cgroup", "0::/run\n");
  second_version("run", "1000", "400000");
  EXPECT_EQ(free_memory(root), 0);
}

TEST_F(FreeMemory, IsTheContainersWhereThePathIsOfOutside) {
  write("proc/self/cgroup", "0::/docker/0123\n");
  second_version("", "900000", "100000");
  EXPECT_EQ(free_memory(root), 801200);
}

TEST_F(FreeMemory, OfTheFirstVersionIsThatOfItsMemoryHierarchy) {
  write("proc/self/cgroup", "5:cpu,cpuacct:/x\n4:hugetlb,memory:/job\n3:name=systemd:/\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "300000\n");
  write("sys/fs/cgroup/memory/job/memory.stat", "inactive_file 1\ntotal_inactive_file 30\ntotal_active_file 4\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "4000000000\n");
  EXPECT_EQ(free_memory(root), 700034);
}

TEST_F(FreeMemory, IsUnknownWhereTheKernelDoesNotTell) {
  EXPECT_EQ(free_memory(root / "nowhere"), std::nullopt);
  EXPECT_GT(free_memory().value_or(0), 0);
}

}  // namespace
}  // namespace peftlab
