#include "run/energy.h"

#include <fstream>

namespace peftlab::run {
namespace {

namespace fs = std::filesystem;

std::optional<int64_t> read_number(const fs::path& file) {
  std::ifstream stream(file);
  int64_t number = 0;
  return stream >> number && number >= 0 ? std::optional(number) : std::nullopt;
}

/// A whole package: "intel-rapl:0", not its parts ("intel-rapl:0:1"), and not the same counters seen through memory
/// ("intel-rapl-mmio:0"). The platform ("psys") holds the packages and more.
bool is_package(const fs::path& zone) {
  constexpr std::string_view kPrefix = "intel-rapl:";
  const std::string name = zone.filename().string();
  if (!name.starts_with(kPrefix) || name.find(':', kPrefix.size()) != std::string::npos) return false;
  std::ifstream stream(zone / "name");
  std::string what;
  return stream >> what && what.starts_with("package");
}

}  // namespace

EnergyMeter::EnergyMeter(const fs::path& powercap) {
  std::error_code none;
  for (const auto& zone : fs::directory_iterator(powercap, none)) {
    if (!is_package(zone.path())) continue;
    const auto range = read_number(zone.path() / "max_energy_range_uj");
    const auto now = read_number(zone.path() / "energy_uj");
    if (!range || !now) return;  // a sum without one of the packages would be wrong
    packages_.push_back({zone.path() / "energy_uj", *range, *now});
  }
  is_known_ = !packages_.empty();
}

void EnergyMeter::count_gpu(GpuEnergy gpu) {
  const std::lock_guard lock(mutex_);
  gpu_began_ = gpu.microjoules();
  gpu_ = gpu;
}

std::optional<int64_t> EnergyMeter::microjoules() {
  const std::lock_guard lock(mutex_);
  if (gpu_) {
    const auto now = gpu_->microjoules();
    return now && gpu_began_ ? std::optional(*now - *gpu_began_) : std::nullopt;
  }
  for (Package& package : packages_) {
    const auto now = read_number(package.counter);
    is_known_ = is_known_ && now;
    if (!now) continue;
    total_ += *now >= package.last ? *now - package.last : *now + package.range - package.last;
    package.last = *now;
  }
  return is_known_ ? std::optional(total_) : std::nullopt;
}

}  // namespace peftlab::run
