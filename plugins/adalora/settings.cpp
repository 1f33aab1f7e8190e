#include "settings.h"

#include <peftlab/adapter_config.h>

#include <algorithm>
#include <cmath>

namespace peftlab::adalora {

Settings::Settings(Params& p)
    : rank(p.get<int64_t>("rank", 12, "rank r of every update at the start, at least 1")),
      target_rank(p.get<int64_t>("target_rank", 8, "mean rank in the end, from 1 to `rank`")),
      alpha(p.get("alpha", 8.0, "the update is scaled by alpha / rank; above 0")),
      dropout(p.get("dropout", 0.0, "probability in [0, 1), on the update's input, while training")),
      targets(p.get_optional<std::vector<std::string>>(
          "targets",
          "ends of the names of the linear maps to adapt; \"all-linear\"; or one regular expression for "
          "whole names. As peft for the model type if left out")),
      warmup_steps(p.get<int64_t>("warmup_steps", 0, "steps at full rank before the budget falls, at least 0")),
      final_steps(p.get<int64_t>("final_steps", 0, "steps at the target rank in the end, at least 0")),
      interval(p.get<int64_t>("interval", 1, "steps from one choice of triplets to the next, at least 1")),
      beta1(p.get("beta1", 0.85, "decay of the mean sensitivity, between 0 and 1")),
      beta2(p.get("beta2", 0.85, "decay of the mean uncertainty, between 0 and 1")),
      orthogonality(
          p.get("orthogonality", 0.5, "weight in the loss of how far A and B are from orthogonal, at least 0")) {
  p.check(rank >= 1, "rank", "must be at least 1");
  p.check(1 <= target_rank && target_rank <= std::max<int64_t>(rank, 1), "target_rank",
          "must be from 1 to `rank`, " + std::to_string(rank));
  p.check(std::isfinite(alpha) && alpha > 0, "alpha", "must be above 0");
  p.check(0.0 <= dropout && dropout < 1.0, "dropout", "must be in [0, 1)");
  p.check(!targets || !targets->empty(), "targets", "must name at least one linear map");
  p.check(warmup_steps >= 0, "warmup_steps", "must be at least 0");
  p.check(final_steps >= 0, "final_steps", "must be at least 0");
  p.check(interval >= 1, "interval", "must be at least 1");
  p.check(0.0 < beta1 && beta1 < 1.0, "beta1", "must be between 0 and 1");
  p.check(0.0 < beta2 && beta2 < 1.0, "beta2", "must be between 0 and 1");
  p.check(std::isfinite(orthogonality) && orthogonality >= 0, "orthogonality", "must be at least 0");
}

Table peft_fields(const Settings& settings, const std::vector<std::string>& chosen) {
  Table config = peft_config("ADALORA");
  config["init_r"] = settings.rank;
  config["target_r"] = settings.target_rank;
  const double alpha = settings.alpha;
  const bool whole = alpha == std::floor(alpha) && alpha < 1e15;
  config["lora_alpha"] = whole ? Value(static_cast<int64_t>(alpha)) : Value(alpha);
  config["lora_dropout"] = settings.dropout;
  config["target_modules"] = names_for_peft(settings.targets.value_or(std::vector<std::string>()), chosen);
  config["tinit"] = settings.warmup_steps;
  config["tfinal"] = settings.final_steps;
  config["deltaT"] = settings.interval;
  config["beta1"] = settings.beta1;
  config["beta2"] = settings.beta2;
  config["orth_reg_weight"] = settings.orthogonality;
  config["total_step"] = settings.warmup_steps + settings.final_steps + 1;  // the least that peft takes
  config["rank_pattern"] = Value();
  config["fan_in_fan_out"] = false;
  config["bias"] = "none";
  config["init_lora_weights"] = true;
  config["megatron_core"] = "megatron.core";
  config["qalora_group_size"] = 16;
  config["r"] = 8;  // LoRA's, not in use
  for (const char* key : {"lora_bias", "use_dora", "use_qalora", "use_rslora", "ensure_weight_tying"}) {
    config[key] = false;
  }
  for (const char* key : {"alpha_pattern", "loftq_config"}) config[key] = Table();
  for (const char* key : {"exclude_modules", "modules_to_save", "layers_to_transform", "layers_pattern",
                          "megatron_config", "trainable_token_indices", "eva_config", "corda_config", "lora_ga_config",
                          "velora_config", "alora_invocation_tokens", "monteclora_config", "layer_replication",
                          "target_parameters", "use_bdlora", "arrow_config", "kasa_config"}) {
    config[key] = Value();
  }
  return config;
}

Table options_from(const Table& adapter_config) {
  AdapterConfig config(adapter_config, "plugin adalora");
  config.expect("peft_type", "ADALORA");
  config.expect("bias", "none");
  const auto rank = config.get<int64_t>("init_r", 12);
  // A target above the rank is of a training that never pruned: peft fails where one would. An alpha not above 0 means
  // the rank there.
  const int64_t target_rank = std::min(config.get<int64_t>("target_r", 8), rank);
  const double alpha = config.get("lora_alpha", 8.0);
  Table options = {{"rank", rank},
                   {"target_rank", target_rank},
                   {"alpha", alpha > 0 ? alpha : static_cast<double>(rank)},
                   {"dropout", config.get("lora_dropout", 0.0)},
                   {"warmup_steps", config.get<int64_t>("tinit", 0)},
                   {"final_steps", config.get<int64_t>("tfinal", 0)},
                   {"interval", config.get<int64_t>("deltaT", 1)},
                   {"beta1", config.get("beta1", 0.85)},
                   {"beta2", config.get("beta2", 0.85)},
                   {"orthogonality", config.get("orth_reg_weight", 0.5)}};
  if (const Value* targets = config.value("target_modules")) {
    options["targets"] = names_from_peft(*targets, "target_modules");
  }
  // load() reads the total and the pattern. The file's values replace first values of any kind; fan_in_fan_out says how
  // the base's file lies, the update is the same either way; rank and scaling of LoRA are not in use in peft.
  config.ignore({"total_step", "rank_pattern", "init_lora_weights", "fan_in_fan_out", "r", "use_rslora",
                 "megatron_core", "qalora_group_size"});
  config.finish();
  return options;
}

}  // namespace peftlab::adalora
