#include "plan/run_spec.h"

#include "config/sections.h"
#include "config/variants.h"
#include "support/sha256.h"

#include <peftlab/error.h>
#include <peftlab/params.h>

namespace peftlab::plan {
namespace {

Value to_value(const PluginUse& use) { return Table{{"plugin", use.plugin}, {"options", use.options}}; }

Value to_value(const std::vector<PluginUse>& uses) {
  List list;
  for (const PluginUse& use : uses) {
    list.push_back(to_value(use));
  }
  return list;
}

/// Reads a table whose every key is there; what is wrong ends in one FormatError.
class Record {
 public:
  explicit Record(const Table& table, const std::string& name) : params_(table, name) {}

  template <typename T>
  void read(const char* key, T& into) {
    into = params_.require<T>(key, "part of a run");
  }
  template <typename T>
  void read(const char* key, std::optional<T>& into) {
    into = params_.get_optional<T>(key, "part of a run");
  }
  void read(const char* key, PluginUse& into) {
    Table table;
    read(key, table);
    into = plugin_use(table);
  }

  void read(const char* key, std::vector<PluginUse>& into) {
    params_.ignore({key});
    const Value* value = params_.value(key);
    const List* list = value == nullptr ? nullptr : value->get_if<List>();
    params_.check(list != nullptr, key, "must be a list of plugins");
    for (const Value& item : list == nullptr ? List() : *list) {
      const auto* table = item.get_if<Table>();
      params_.check(table != nullptr, key, "must be a list of plugins");
      into.push_back(plugin_use(table == nullptr ? Table() : *table));
    }
  }

  void finish() const {
    try {
      params_.finish();
    } catch (const ConfigError& e) {
      throw FormatError(e.what());
    }
  }

 private:
  static PluginUse plugin_use(const Table& table) {
    Record record(table, "a run's plugin");
    PluginUse use;
    record.read("plugin", use.plugin);
    record.read("options", use.options);
    record.finish();
    return use;
  }

  Params params_;
};

}  // namespace

Table to_table(const RunSpec& s) {
  Table table = {{"experiment", s.experiment},
                 {"label", s.label},
                 {"is_baseline", s.is_baseline},
                 {"methods", to_value(s.methods)},
                 {"model_path", s.model_path},
                 {"model_init", s.model_init},
                 {"model_dtype", s.model_dtype},
                 {"dataset", to_value(s.dataset)},
                 {"train_data", s.train_data},
                 {"validation_data", s.validation_data},
                 {"test_data", s.test_data},
                 {"retention_data", s.retention_data},
                 {"train", config::train_table(s.train)},
                 {"metrics", to_value(s.metrics)},
                 {"primary", s.primary},
                 {"seed", s.seed}};
  if (s.role != "method") {
    table["role"] = s.role;
    table["of_label"] = s.of_label;
  }
  if (!s.model_labels.empty()) {
    table["model_labels"] = s.model_labels;
  }
  if (s.max_length) {
    table["max_length"] = *s.max_length;
  }
  return table;
}

RunSpec from_table(const Table& table) {
  RunSpec s;
  Record record(table, "a run");
  Table train;
  record.read("experiment", s.experiment);
  record.read("label", s.label);
  record.read("is_baseline", s.is_baseline);
  record.read("methods", s.methods);
  std::optional<std::string> role, of_label;
  record.read("role", role);
  record.read("of_label", of_label);
  s.role = role.value_or("method");
  s.of_label = of_label.value_or("");
  record.read("model_path", s.model_path);
  record.read("model_init", s.model_init);
  record.read("model_dtype", s.model_dtype);
  std::optional<std::vector<std::string>> labels;
  record.read("model_labels", labels);
  s.model_labels = labels.value_or(std::vector<std::string>{});
  record.read("dataset", s.dataset);
  record.read("train_data", s.train_data);
  record.read("validation_data", s.validation_data);
  record.read("test_data", s.test_data);
  record.read("retention_data", s.retention_data);
  record.read("max_length", s.max_length);
  record.read("train", train);
  record.read("metrics", s.metrics);
  record.read("primary", s.primary);
  record.read("seed", s.seed);
  record.finish();
  for (const auto& [key, value] : config::train_table({})) {
    if (!train.contains(key)) {
      throw FormatError("a run: `train." + key + "` is missing");
    }
  }
  if (train.contains("epochs") == train.contains("steps")) {
    throw FormatError("a run: `train` must hold one of `epochs` and `steps`");
  }
  try {
    s.train = config::merged({}, train);
  } catch (const ConfigError& e) {
    throw FormatError(std::string("a run: ") + e.what());
  }
  return s;
}

std::string variant_key(const RunSpec& spec, const Checksums& checksums) {
  Table outcome = to_table(spec);
  for (const char* key : {"experiment", "label", "of_label", "is_baseline", "primary", "seed", "model_path",
                          "train_data", "validation_data", "test_data", "retention_data"}) {
    outcome.erase(key);
  }
  Table sums;
  for (const auto& [name, sum] : checksums) {
    sums.emplace(name, sum);
  }
  // The number is that of this rule: another rule must not find this one's runs.
  return sha256_hex(to_json(Table{{"version", 1}, {"spec", outcome}, {"checksums", sums}}));
}

}  // namespace peftlab::plan
