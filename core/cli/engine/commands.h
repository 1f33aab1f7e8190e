#pragma once

/// \file
/// The commands that compute.

#include "command.h"

namespace peftlab::cli {

int run_command(const Words& words);
int worker_command(const Words& words);
int eval_command(const Words& words);
int predict_command(const Words& words);
int score_command(const Words& words);
int adapter_command(const Words& words);
int plugins_command(const Words& words);
/// The parts `check` and `new` of it.
int check_plugin(const Words& words);
int new_plugin(const Words& words);
int quantize_command(const Words& words);
int completion_command(const Words& words);
int manual_command(const Words& words);

}  // namespace peftlab::cli
