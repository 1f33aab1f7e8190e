#include "run/heartbeat.h"

#include <peftlab/error.h>

#include <chrono>

namespace peftlab::run {

namespace {
constexpr std::chrono::seconds kBetweenBeats{15};
}

Heartbeat::Heartbeat(const std::filesystem::path& store, std::string run, EnergyMeter& energy)
    : thread_([this, store, run = std::move(run), &energy] { beat(store, run, energy); }) {}

Heartbeat::~Heartbeat() {
  {
    const std::lock_guard lock(mutex_);
    is_over_ = true;
  }
  ended_.notify_all();
  thread_.join();
}

void Heartbeat::beat(const std::filesystem::path& folder, const std::string& run, EnergyMeter& energy) {
  std::unique_lock lock(mutex_);
  while (!ended_.wait_for(lock, kBetweenBeats, [this] { return is_over_; })) {
    energy.microjoules();  // its counters begin anew after some minutes
    try {
      store::Store::open(folder, store::Mode::read_write).heartbeat(run);
    } catch (const StoreError&) {
    }
  }
}

}  // namespace peftlab::run
