#pragma once

/// \file
/// Everything the loop needs to go on: written together, in one file, atomically.

#include "train/loss_scaler.h"
#include "train/optimizer.h"
#include "train/trainer.h"

#include <filesystem>

namespace peftlab::train {

void write_resume_point(const std::filesystem::path& file, const TensorMap& trained, const Optimizer& optimizer,
                        const LossScaler& scaler, const TrainResult& so_far);

/// Gives the tensors, the optimizer and the scaler their state back. Throws: FormatError if it does not fit.
TrainResult read_resume_point(const std::filesystem::path& file, const TensorMap& trained, Optimizer& optimizer,
                              LossScaler& scaler);

}  // namespace peftlab::train
