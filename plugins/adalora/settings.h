#pragma once

/// \file
/// The options of AdaLoRA, and their counterparts in Hugging Face peft's adapter_config.json.

#include <peftlab/params.h>
#include <peftlab/value.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace peftlab::adalora {

struct Settings {
  explicit Settings(Params& p);

  int64_t rank, target_rank;
  double alpha, dropout;
  std::optional<std::vector<std::string>> targets;
  int64_t warmup_steps, final_steps, interval;
  double beta1, beta2, orthogonality;
};

/// All fields that peft 0.21 writes, as of a method that was not trained. `chosen`: the adapted maps.
Table peft_fields(const Settings& settings, const std::vector<std::string>& chosen);

/// The options that a file of peft asks for. Throws: FormatError naming what cannot be computed here.
Table options_from(const Table& adapter_config);

}  // namespace peftlab::adalora
