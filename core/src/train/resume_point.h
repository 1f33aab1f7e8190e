#pragma once

/// \file
/// Everything the loop needs to go on: written together, in one file, atomically.

#include "train/adamw.h"
#include "train/loss_scaler.h"
#include "train/trainer.h"

#include <filesystem>

namespace peftlab::train {

void write_resume_point(const std::filesystem::path& file, const TensorMap& trained, const AdamW& optimizer,
                        const LossScaler& scaler, const TrainResult& so_far);

/// Gives the tensors, the optimizer and the scaler their state back. Throws: FormatError if it does not fit.
TrainResult read_resume_point(const std::filesystem::path& file, const TensorMap& trained, AdamW& optimizer,
                              LossScaler& scaler);

}  // namespace peftlab::train
