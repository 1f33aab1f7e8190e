#pragma once

/// \file
/// Whether what was saved says what was trained.

#include "attach/session.h"

#include <optional>

namespace peftlab::run {

/// Loads what save_result() left and compares logits of a fixed row of tokens: {"largest": of the trained model,
/// "after_loading": the largest difference to it, "after_merging": the largest difference of the loaded model merged and
/// not, absent for whole models and for methods that are no part of a weight; "after_quantizing": the largest difference
/// of the base as a method quantized it, nothing trained, to the base as it is stored, absent where none did}. A second
/// model is opened where it takes a third of the `free` bytes of memory at most (nullopt: not known); the last two are
/// absent where that is not so with the quantized maps in full. Where nothing can be said for want of memory there is only
/// {"not_measured": why}. nullopt where nothing was saved nor quantized.
std::optional<Table> check_saved(const attach::Session& trained, const attach::SavedResult& saved,
                                 const plan::RunSpec& spec, const registry::Registry& registry,
                                 std::optional<int64_t> free);

}  // namespace peftlab::run
