#include "low_rank/peft_files.h"

#include <peftlab/adapter_config.h>
#include <peftlab/error.h>

#include <cmath>

namespace peftlab::low_rank {
namespace {

/// Under it stands what peft does not know.
constexpr const char* kOwn = "peftlab";
constexpr const char* kFrozenHalf = "frozen_half";

/// As Python writes the number it was given.
Value plain(double value) {
  const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
  return whole ? Value(static_cast<int64_t>(value)) : Value(value);
}

/// `value` itself where nothing is to be changed.
Value times(const Value& value, double factor) { return factor == 1.0 ? value : plain(number(value) * factor); }

Table times(const Table& table, double factor) {
  Table changed;
  for (const auto& [key, value] : table) changed[key] = times(value, factor);
  return changed;
}

template <typename T>
Value list_or_null(const std::optional<std::vector<T>>& values) {
  return values ? Value(*values) : Value();
}

/// One value or a list of them, as a list. Throws: FormatError unless it is that.
template <typename T>
std::vector<T> several(const Value& value, const std::string& key, const char* wanted) {
  const List single = {value};
  const List* items = value.get_if<List>() ? value.get_if<List>() : &single;
  std::vector<T> values;
  for (const Value& item : *items) {
    if (!item.get_if<T>()) {
      throw FormatError("adapter_config.json: `" + key + "` holds " + to_json(item) + ", wanted " + wanted);
    }
    values.push_back(*item.get_if<T>());
  }
  return values;
}

/// The first values that a file asks for; none where its tensors replace any.
void take_init(AdapterConfig& config, Table& options) {
  const Value* init = config.value("init_lora_weights");
  if (!init || init->get_if<bool>()) return;
  const auto* name = init->get_if<std::string>();
  if (name && (*name == kGaussian || *name == kPissa)) {
    options["init"] = *name;
  } else if (name && *name == "eva") {
    config.ignore({"eva_config"});
  } else if (!name || *name != "orthogonal") {
    // Other starts subtract something from the base's weights, which the adapter then expects.
    throw FormatError("adapter_config.json asks for `init_lora_weights` = " + to_json(*init) +
                      ", which changes the base's weights; plugin lora cannot compute it");
  }
}

void take_bias(AdapterConfig& config, Table& options) {
  const std::string bias = config.get("bias", "none");
  if (bias == "none") return;
  if (bias != "all" && bias != "lora_only") {
    throw FormatError("adapter_config.json asks for `bias` = " + to_json(bias) + ". " +
                      suggestion(bias, {"none", "all", "lora_only"}));
  }
  options["bias"] = bias;
}

void take_names(AdapterConfig& config, Table& options) {
  if (const Value* targets = config.value("target_modules")) {
    options["targets"] = names_from_peft(*targets, "target_modules");
  }
  if (const Value* exclude = config.value("exclude_modules"); exclude && *exclude != Value("")) {
    const auto names = names_from_peft(*exclude, "exclude_modules");
    if (!names.empty()) options["exclude"] = names;
  }
  if (const Value* layers = config.value("layers_to_transform")) {
    const auto numbers = several<int64_t>(*layers, "layers_to_transform", "numbers of layers");
    if (!numbers.empty()) options["layers"] = numbers;
  }
  if (const Value* pattern = config.value("layers_pattern")) {
    const auto lists = several<std::string>(*pattern, "layers_pattern", "names");
    if (!lists.empty() && lists.front() != "") options["layers_pattern"] = lists;
  }
}

void take_table(AdapterConfig& config, const std::string& key, Table& options) {
  if (const Table* table = config.table(key); table && !table->empty()) options[key] = *table;
}

}  // namespace

Table adapter_config(const Options& options, const std::vector<std::string>& targets, const Selection& selection,
                     bool transposed) {
  const bool doubles = options.init == kPissa;
  const double scale = !doubles ? 1.0 : options.rslora ? std::sqrt(2.0) : 2.0;  // of alpha, so that s stays
  Table config = peft_config("LORA");
  config["r"] = options.rank * (doubles ? 2 : 1);
  config["lora_alpha"] = plain(options.alpha * scale);
  config["rank_pattern"] = times(options.rank_pattern, doubles ? 2.0 : 1.0);
  config["alpha_pattern"] = times(options.alpha_pattern, scale);
  config["lora_dropout"] = options.dropout;
  config["use_rslora"] = options.rslora;
  config["use_dora"] = options.dora;
  config["bias"] = options.bias;
  config["init_lora_weights"] = options.init == kGaussian ? Value(kGaussian) : Value(true);
  config["target_modules"] = names_for_peft(targets, selection.named);
  config["exclude_modules"] = options.exclude ? names_for_peft(*options.exclude, {}) : Value();
  config["layers_to_transform"] = list_or_null(options.layers);
  config["layers_pattern"] = list_or_null(options.layers_pattern);
  config["fan_in_fan_out"] = transposed;
  config["loftq_config"] = Table();
  config["megatron_core"] = "megatron.core";
  config["qalora_group_size"] = 16;
  for (const char* key : {"lora_bias", "use_qalora", "ensure_weight_tying"}) config[key] = false;
  for (const char* key : {"modules_to_save", "megatron_config", "trainable_token_indices", "eva_config", "corda_config",
                          "lora_ga_config", "velora_config", "alora_invocation_tokens", "monteclora_config",
                          "layer_replication", "target_parameters", "use_bdlora", "arrow_config", "kasa_config"}) {
    config[key] = Value();
  }
  if (doubles || options.frozen_half) config[kOwn] = Table{{kFrozenHalf, true}};
  return config;
}

Table options_from(const Table& adapter_config) {
  AdapterConfig config(adapter_config, "plugin lora");
  config.expect("peft_type", "LORA");
  Table options = {{"rank", config.get<int64_t>("r", 8)},
                   {"alpha", config.get("lora_alpha", 8.0)},
                   {"dropout", config.get("lora_dropout", 0.0)},
                   {"rslora", config.get("use_rslora", false)},
                   {"dora", config.get("use_dora", false)}};
  take_bias(config, options);
  take_names(config, options);
  take_table(config, "rank_pattern", options);
  take_table(config, "alpha_pattern", options);
  take_init(config, options);
  if (const Table* table = config.table(kOwn)) {
    AdapterConfig own(*table, "plugin lora", std::string(kOwn) + ".");
    if (own.get(kFrozenHalf, false)) options[kFrozenHalf] = true;
    own.finish();
  }
  // fan_in_fan_out says how the base's file lies; A and B are the same either way.
  config.ignore({"fan_in_fan_out", "megatron_core", "qalora_group_size", "loftq_config"});
  config.finish();
  return options;
}

}  // namespace peftlab::low_rank
