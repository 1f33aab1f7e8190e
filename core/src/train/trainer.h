#pragma once

/// \file
/// Session -> TrainResult: the loop.

#include "attach/session.h"
#include "config/experiment.h"
#include "train/feed.h"
#include "train/graphed_steps.h"
#include "train/loss_scaler.h"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

namespace peftlab::train {

/// One optimizer step, as it is told to whoever watches.
struct StepReport {
  int64_t step = 0;  ///< counts from 1
  int64_t steps = 0;
  double loss = 0.0;           ///< mean over the labelled tokens of the effective batch
  double learning_rate = 0.0;  ///< that this step was made with
  double gradient_norm = 0.0;  ///< before clipping; NaN for a step that loss scaling skipped
  int64_t tokens = 0;          ///< of the effective batch, labelled or not
  double seconds = 0.0;        ///< of this step
};

/// What a run of the loop cost and how far it came.
struct TrainResult {
  int64_t steps = 0;            ///< optimizer steps made in all, before a resume too
  double seconds = 0.0;         ///< of the steps alone: without loading, evaluating and saving
  double seconds_before = 0.0;  ///< the part of them from before a resume
  int64_t tokens = 0;           ///< that went through the model, before a resume too
  int64_t examples = 0;
  int64_t tokens_before = 0;  ///< the parts of them from before a resume
  int64_t examples_before = 0;
  int64_t skipped_steps = 0;    ///< by loss scaling
  int64_t graphed_batches = 0;  ///< micro-batches launched as a CUDA graph, since the last resume
  int64_t optimizer_bytes = 0;  ///< the optimizer's state
  bool interrupted = false;     ///< stopped by Watch::stop; after a step, a resume point was written
};

/// Who watches the loop.
struct Watch {
  std::function<void(const StepReport&)> step;
  /// Calls `compute`, which makes before the first step what frozen parts of the model make of the examples, and says
  /// whether there was anything to make. Its time does not count. Empty: it is just called.
  std::function<void(const std::function<bool()>& compute)> features;
  /// Features of all examples are made even where the steps are fewer than those of an epoch: for a run that measures what a
  /// longer one costs.
  bool stands_for_longer = false;
  /// After every epoch, or every `eval_every` steps, and at the end: evaluate, and keep what there is. Its time does not
  /// count. The resume point is written after it.
  std::function<void(const TrainResult& so_far)> milestone;
  /// Asked after every step, and while features are made: true ends the loop.
  std::function<bool()> stop;
  /// What records passes for cuda_graphs; empty: the GPU's own, where there is one.
  Recorder recorder;
  /// Where the state to go on from is kept; empty: nowhere. It is written at milestones and when stopped.
  std::filesystem::path resume_file;
};

/// Steps that a section makes of `examples` examples: steps, or epochs times the steps of an epoch (rounded up).
int64_t planned_steps(const config::TrainSection& section, int64_t examples);

/// Trains what the session says is trained. With a resume file that is there, goes on where it was written: the same
/// tensors, bit for bit, as without the stop (same machine, threads and build).
/// Throws: TrainError if a loss is not finite, naming step, value and learning rate.
TrainResult train(attach::Session& session, Feed& feed, const config::TrainSection& section, int64_t seed,
                  const Watch& watch);

}  // namespace peftlab::train
