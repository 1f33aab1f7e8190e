#include "run/energy.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include <unistd.h>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

class Energy : public ::testing::Test {
 protected:
  Energy() : folder_(fs::temp_directory_path() / ("peftlab_energy_" + std::to_string(::getpid()))) {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
  }
  ~Energy() override { fs::remove_all(folder_); }

  void put(const std::string& zone, const std::string& name, int64_t energy) {
    fs::create_directories(folder_ / zone);
    std::ofstream(folder_ / zone / "name") << name << "\n";
    std::ofstream(folder_ / zone / "max_energy_range_uj") << 1000 << "\n";
    std::ofstream(folder_ / zone / "energy_uj") << energy << "\n";
  }

  fs::path folder_;
};

TEST_F(Energy, WithoutACounterNothingIsKnown) {
  EXPECT_EQ(EnergyMeter(folder_ / "nowhere").microjoules(), std::nullopt);
  EXPECT_EQ(EnergyMeter(folder_).microjoules(), std::nullopt);
  put("intel-rapl:0", "psys", 5);
  EXPECT_EQ(EnergyMeter(folder_).microjoules(), std::nullopt);
}

TEST_F(Energy, PackagesAreSummedAndNothingIsCountedTwice) {
  put("intel-rapl:0", "package-0", 100);
  put("intel-rapl:1", "package-1", 900);
  put("intel-rapl:0:0", "core", 1);
  put("intel-rapl-mmio:0", "package-0", 100);
  put("intel-rapl:2", "psys", 1);
  EnergyMeter meter(folder_);
  EXPECT_EQ(meter.microjoules(), 0);
  put("intel-rapl:0", "package-0", 150);
  put("intel-rapl:0:0", "core", 500);
  put("intel-rapl-mmio:0", "package-0", 150);
  put("intel-rapl:2", "psys", 800);
  EXPECT_EQ(meter.microjoules(), 50);
  put("intel-rapl:1", "package-1", 20);  // began anew at 1000
  EXPECT_EQ(meter.microjoules(), 50 + 120);
  EXPECT_EQ(meter.microjoules(), 170);
}

TEST_F(Energy, ACounterThatCannotBeReadMakesTheSumUnknown) {
  put("intel-rapl:0", "package-0", 100);
  put("intel-rapl:1", "package-1", 100);
  EnergyMeter meter(folder_);
  fs::remove(folder_ / "intel-rapl:1/energy_uj");
  EXPECT_EQ(meter.microjoules(), std::nullopt);
  EXPECT_EQ(EnergyMeter(folder_).microjoules(), std::nullopt);
  put("intel-rapl:1", "package-1", 500);
  EXPECT_EQ(meter.microjoules(), std::nullopt) << "what passed meanwhile is not known";
}

TEST_F(Energy, ARunOnAGpuCountsThatGpu) {
  put("intel-rapl:0", "package-0", 100);
  const std::string nvml = std::string(std::getenv("PEFTLAB_BINARY_DIR")) + "/tests/fixtures/nvml.so";
  EnergyMeter meter(folder_);
  meter.count_gpu(GpuEnergy(0, nvml));
  put("intel-rapl:0", "package-0", 900);
  EXPECT_EQ(meter.microjoules(), 5000) << "5 mJ after it began; the processors' are not added";
  EXPECT_EQ(meter.microjoules(), 10000);
  meter.count_gpu(GpuEnergy(1, nvml));
  EXPECT_EQ(meter.microjoules(), std::nullopt) << "there is no second GPU";
  meter.count_gpu(GpuEnergy(0, "libnosuch.so.1"));
  EXPECT_EQ(meter.microjoules(), std::nullopt) << "without a driver nothing is known, and the processors' is not it";
}

}  // namespace
}  // namespace peftlab::run
