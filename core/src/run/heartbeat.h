#pragma once

/// \file
/// Says every some seconds that a run's process is alive, whatever its other threads are doing.

#include "run/energy.h"
#include "store/store.h"

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <string>
#include <thread>

namespace peftlab::run {

/// From when it is made until it is destroyed. A beat that the store refuses (locked, full) is left out: the run's own
/// writes tell of that.
class Heartbeat {
 public:
  Heartbeat(const std::filesystem::path& store, std::string run, EnergyMeter& energy);
  ~Heartbeat();
  Heartbeat(const Heartbeat&) = delete;
  Heartbeat& operator=(const Heartbeat&) = delete;

 private:
  void beat(const std::filesystem::path& store, const std::string& run, EnergyMeter& energy);

  std::mutex mutex_;
  std::condition_variable ended_;
  bool is_over_ = false;
  std::thread thread_;
};

}  // namespace peftlab::run
