#pragma once

/// \file
/// The store for TensorBoard: event files that it reads.

#include "store/store.h"

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace peftlab::report {

/// One number of a curve.
struct EventScalar {
  std::string tag;
  int64_t step = 0;
  double value = 0.0;         ///< kept as float, TensorBoard's own precision
  double wall_seconds = 0.0;  ///< since 1970
};

/// What TensorBoard shows of a run in its table of hyperparameters.
struct EventSession {
  std::vector<std::pair<std::string, Value>> hyperparameters;  ///< numbers, truth values and strings
  double start_seconds = 0.0, end_seconds = 0.0;               ///< since 1970
  bool has_succeeded = false;
};

/// The bytes of an event file: TFRecords of Event messages (tensorboard/compat/proto/event.proto), the version first, then
/// the session's hyperparameters, then the scalars in order.
std::string event_file(const EventSession& session, const std::vector<EventScalar>& scalars);

/// Writes the newest attempts of the current runs of `experiment` below `folder`: `<label>/seed<N>/events.out.tfevents.*`
/// with all curves, the scores as "<split>/<metric>" at the last step, and the options as hyperparameters. Characters of
/// a label that a folder's name may not have become "_"; labels that would then be one are numbered. Returns how many runs
/// were written. Throws: ConfigError if there is no such experiment; StoreError.
int64_t write_tensorboard(const store::Store& store, const std::string& experiment,
                          const std::filesystem::path& folder);

}  // namespace peftlab::report
